"""A run behaves like the command, is seen by nobody else, and leaves nothing behind."""

from __future__ import annotations

import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.mounting import VMFS as RUN
from tests.run.running import (
    ENVIRONMENT,
    REPOSITORY,
    command,
    eventually,
    output,
    run,
    running,
    twin,
    user,
    vmfs,
)

MEMTOTAL = re.compile(r"MemTotal: +(\d+)")


def total(machine: str) -> str:
    return str(twin(machine).machine.totalram_pages * 4)


def processes_of_runs() -> list[int]:
    """Whoever belongs to a run of this user: vmfs itself, its daemon, its keeper."""
    found = []
    for path in Path("/proc").iterdir():
        try:
            line = (path / "cmdline").read_bytes().split(b"\0")
            if b"tests.run.as_user" in line and path.name.isdecimal() and _lives(path):
                found.append(int(path.name))
        except OSError:
            continue
    return found


def _lives(path: Path) -> bool:
    return (path / "stat").read_text().rpartition(")")[2].split()[0] != "Z"


def of_group(pid: int) -> list[int]:
    """The processes of a run that `running()` started: it leads their session, or is above them."""
    return [p for p in processes_of_runs() if p == pid or _above(p) == pid]


def _above(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


# Like the command


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("exit 0", 0),
        ("exit 7", 7),
        ("kill -TERM $$", 128 + signal.SIGTERM),
        ("kill -KILL $$", 128 + signal.SIGKILL),
        ("no-such-command", 127),
    ],
)
def test_the_exit_status_is_the_commands(script: str, status: int) -> None:
    assert run(script, machine="tiny").returncode == status


@pytest.mark.parametrize(
    ("program", "status", "why"),
    [
        ("no-such-command", 127, "command not found"),
        ("", 127, "command not found"),
        ("/no/such/command", 127, "No such file or directory"),
        ("/etc/passwd", 126, "Permission denied"),
        ("/etc", 126, "Permission denied"),
    ],
)
def test_what_cannot_be_executed(program: str, status: int, why: str) -> None:
    done = vmfs("run", "--machine", "tiny", "--", program)
    assert (done.returncode, done.stderr) == (status, f"vmfs: {program or repr('')}: {why}\n")


def test_standard_input_and_output_pass_through() -> None:
    done = vmfs("run", "--machine", "tiny", "sh", "-c", "cat; echo err >&2", stdin=None, input="in\n")
    assert (done.stdout, done.stderr) == ("in\n", "err\n")


def test_a_command_lives_through_a_scenario() -> None:
    script = "for s in 60 540; do echo advance $s > $VMFS_ROOT/vmfs/ctl; grep oom_kill /proc/vmstat; done"
    done = vmfs("run", "--scenario", "leak", "--clock", "manual", "--", "sh", "-c", script)

    assert done.stdout == "oom_kill 0\noom_kill 1\n", done.stderr


def test_what_was_closed_is_closed_for_the_command() -> None:
    words = shlex.join(command("run", "--machine", "tiny", "--", "cat", "-", "/proc/meminfo"))
    done = subprocess.run(
        ["sh", "-c", f"{words} <&-"], env=ENVIRONMENT, cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "cat: -: Bad file descriptor" in done.stderr
    assert total("tiny") in done.stdout


def test_options_after_the_command_are_the_commands() -> None:
    assert vmfs("run", "--machine", "tiny", "echo", "--machine", "-h").stdout == "--machine -h\n"


def test_a_script_without_an_interpreter_is_the_shells() -> None:
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "script"
        script.write_text("echo $1\n")
        for path in (script, script.parent):
            path.chmod(0o755)
        assert vmfs("run", "--machine", "tiny", str(script), "word").stdout == "word\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGINT])
def test_signals_are_passed_on(number: signal.Signals) -> None:
    name = number.name.removeprefix("SIG")
    with running("while :; do sleep 0.05; done", f"trap 'echo got {name}; exit 9' {name}") as process:
        process.send_signal(number)
        assert process.wait(60) == 9
        assert process.stdout.read() == f"got {name}\n"


def test_other_open_files_are_the_commands_alone() -> None:
    reader, writer = os.pipe()
    with running(f"exec {writer}>&-; sleep 60", pass_fds=(writer,)):
        os.close(writer)
        # vmfs itself, which waits for the command, is the last that may have it
        ends = [pid for pid in processes_of_runs() if _has(pid, reader)]
        assert len(ends) <= 1
    os.close(reader)


def _has(pid: int, pipe: int) -> bool:
    name = os.readlink(f"/proc/self/fd/{pipe}")
    try:
        return any(os.readlink(f"/proc/{pid}/fd/{file}") == name for file in os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return False


class Terminal:
    """An interactive shell, of the user, on a terminal of its own."""

    def __init__(self) -> None:
        self.pid, self.file = pty.fork()
        if self.pid == 0:
            os.chdir(REPOSITORY)
            os.execvpe("bash", ["bash", "--norc", "-i"], ENVIRONMENT | {"PS1": "$ "})
        self.said = ""
        self.expect(r"\$ ")

    def type(self, keys: str) -> None:
        os.write(self.file, keys.encode())

    def expect(self, pattern: str) -> str:
        """What is said up to and with the pattern."""
        end = time.monotonic() + 60
        while not (found := re.search(pattern, self.said)):
            assert time.monotonic() < end, (pattern, self.said)
            if select.select([self.file], [], [], 0.2)[0]:
                self.said += os.read(self.file, 65536).decode()
        before, self.said = self.said[: found.end()], self.said[found.end() :]
        return before

    def close(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.file)


@pytest.fixture
def terminal():
    opened = Terminal()
    yield opened
    opened.close()


VMFS = " ".join(command("run", "--machine", "tiny"))


def test_keys_reach_the_command_and_not_vmfs(terminal: Terminal) -> None:
    count = "n=0; trap 'n=$((n+1)); echo interrupted $n; [ $n = 1 ] || exit 5' INT"
    script = f"{count}; echo be'g'un; while :; do sleep 0.05; done"
    terminal.type(f"{VMFS} sh -c {shlex.quote(script)}\r")
    terminal.expect("begun")
    terminal.type("\x03")
    terminal.expect("interrupted 1")
    terminal.type("\x03")
    terminal.expect("interrupted 2")
    terminal.type("echo status $?\r")
    terminal.expect("status 5")


def test_a_stopped_run_gives_the_terminal_back_and_goes_on(terminal: Terminal) -> None:
    terminal.type(f"{VMFS} sh -c 'echo be\"\"gun; while read x; do echo read $x; done; exit 4'\r")
    terminal.expect("begun")
    terminal.type("\x1a")
    terminal.expect("Stopped")
    terminal.type("fg\r")
    terminal.expect(r"fg\r\n.*done; exit 4.*\n")
    terminal.type("word\r")
    terminal.expect("read word")
    terminal.type("\x04")
    terminal.type("echo status $?\r")
    terminal.expect("status 4")


def test_a_shell_inside_has_job_control(terminal: Terminal) -> None:
    terminal.type(f"{VMFS} bash --norc -i\r")
    terminal.expect(r"\$ ")
    terminal.type("head -1 /proc/meminfo\r")
    terminal.expect(f"MemTotal: +{total('tiny')} kB")
    terminal.type("sh -c 'echo g\"\"o; read x; echo read $x'\r")
    terminal.expect(r"[\r\n]go\r\n")
    terminal.type("\x1a")
    terminal.expect("Stopped +sh -c")
    terminal.type("fg\r")
    terminal.expect(r"fg\r\n.*; echo read.*\n")
    terminal.type("word\r")
    terminal.expect("read word")
    terminal.type("exit 3\r")
    terminal.expect("exit\r\n")
    terminal.type("echo status $?\r")
    terminal.expect("status 3")


def test_a_run_loads_no_package_that_it_has_no_use_for() -> None:
    words = [sys.executable, "-X", "importtime", "-m", "vmfs", "run", "--machine", "tiny", "true"]
    told = subprocess.run(words, check=True, capture_output=True, text=True).stderr
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in told.splitlines() if "|" in line}

    assert {"vmfs", "numpy", "click", "fuse"} <= loaded
    assert not loaded & {"yaml", "rich", "tomli_w", "pyarrow", "matplotlib", "pyfakefs", "asyncio"}


@pytest.mark.parametrize("as_root", [False, True])
def test_a_terminal_can_be_made_inside(as_root: bool) -> None:
    """As script, tmux, screen and expect do."""
    done = run("script -qc 'test -t 1 && head -1 /proc/meminfo' /dev/null", machine="tiny", as_root=as_root)
    assert done.stderr == ""
    assert done.stdout.split() == ["MemTotal:", total("tiny"), "kB"]


# What is there


def test_everything_in_the_run_sees_the_machine() -> None:
    shown = output(
        "head -1 /proc/meminfo; sh -c 'grep -c ^processor /proc/cpuinfo; ls /sys/kernel/mm'", machine="tiny"
    )
    assert shown.split()[1] == total("tiny")
    assert shown.split()[3] == "1"
    assert shown.split()[4:] == twin("tiny").listdir("/sys/kernel/mm")


def test_what_is_not_the_machines_stays_the_hosts() -> None:
    shown = output(
        "cat /proc/sys/kernel/random/boot_id /proc/self/comm; readlink /proc/self/ns/net", machine="tiny"
    )
    assert shown.split() == [
        Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        "cat",
        os.readlink("/proc/self/ns/net"),
    ]


def test_processes_were_started_when_they_were() -> None:
    started = subprocess.run(["ps", "-o", "lstart=", "-p", "1"], capture_output=True, text=True).stdout
    assert output("ps -o lstart= -p 1", machine="tiny") == started


def test_control_lines_need_no_address() -> None:
    shown = output(
        "echo 'start hog anon=50M' > $VMFS_ROOT/vmfs/ctl; cat $VMFS_ROOT/vmfs/ctl; cat /proc/meminfo",
        machine="tiny",
    )
    pid, _, meminfo = shown.partition("\n")
    assert pid.isdecimal()
    assert int(re.findall(r"AnonPages: +(\d+)", meminfo)[0]) > 50 * 1024


def test_two_runs_do_not_see_each_other() -> None:
    script = "read line; echo 20 > /proc/sys/vm/nr_hugepages; cat /proc/sys/vm/nr_hugepages; read line"
    with running(script, stdin=subprocess.PIPE) as one, running(script, stdin=subprocess.PIPE) as other:
        one.stdin.write("\n")
        one.stdin.flush()
        assert one.stdout.readline() == "20\n"
        assert output("cat /proc/sys/vm/nr_hugepages", machine="tiny") == "0\n"
        other.stdin.write("\n")
        other.stdin.flush()
        assert other.stdout.readline() == "20\n"
        assert Path("/proc/meminfo").read_text().split()[1] != total("tiny")


def test_only_lays_over_what_it_names() -> None:
    shown = output(
        "head -1 /proc/meminfo; cat /proc/version /proc/cpuinfo", "--only", "/proc/meminfo", machine="tiny"
    )
    assert total("tiny") in shown
    assert "".join(shown.splitlines(keepends=True)[1:3]).startswith(Path("/proc/version").read_text())
    assert shown.count("processor\t") == os.cpu_count()
    cpus = output("nproc; getconf _PHYS_PAGES", "--only", "/proc/meminfo", machine="tiny").split()
    assert cpus == [str(len(os.sched_getaffinity(0))), str(int(total("tiny")) // 4)]


@pytest.mark.parametrize(
    ("path", "listed"),
    [
        ("/proc/meminfo", True),  # nobody takes a name from /proc
        ("/proc/pressure", True),
        ("/proc/sys/vm/swappiness", False),
        ("/sys/devices/system/node", False),
        ("/sys/devices/system/node/node0/cpumap", False),
        ("/sys/kernel/mm/ksm", False),
        ("/dev/full", False),
    ],
)
def test_what_is_hidden_is_not_to_be_found(path: str, listed: bool) -> None:
    script = f"ls -d {path} 2>&1; cat {path} 2>&1; test -e {path}; echo $?; ls {os.path.dirname(path)}"
    shown = run(script, "--hide", path, machine="tiny").stdout.splitlines()
    assert all("No such file or directory" in line for line in shown[:2])
    assert shown[2] == "1"
    assert (os.path.basename(path) in shown[3:]) == listed
    assert len(shown) > 4


def test_a_machine_without_nodes_shows_none_of_the_hosts() -> None:
    assert "node" not in output("ls /sys/devices/system", machine="x86-32").split()
    assert "No NUMA available" in run("numactl -H 2>&1", machine="x86-32").stdout


@pytest.mark.parametrize(
    ("options", "script", "errno"),
    [
        (("--policy", "container-ro"), "echo 1 > /proc/sys/vm/swappiness", "EROFS"),
        (("--policy", "unprivileged"), "echo 1 > /proc/sys/vm/swappiness", "EACCES"),
        (("--policy", "/sys=unprivileged"), "echo 1 > /proc/sys/vm/swappiness", ""),
        (("--user",), "echo 1 > /proc/sys/vm/swappiness", "EACCES"),
        (("--user", "--policy", "bare-metal"), "echo 1 > /proc/sys/vm/swappiness", ""),
        (("--fail", "/proc/meminfo=EMFILE"), "cat /proc/meminfo", "EMFILE"),
        (("--fail", "/proc/mem*=EIO"), "cat /proc/meminfo", "EIO"),
    ],
)
def test_policies_and_faults(options: tuple[str, ...], script: str, errno: str) -> None:
    import errno as numbers

    done = run(f"bash -c '{script}' 2>&1", *options, machine="tiny")
    expected = os.strerror(getattr(numbers, errno)) if errno else ""
    assert (done.returncode == 0) == (not errno)
    assert expected in done.stdout


@pytest.mark.parametrize(
    ("option", "why"),
    [
        ("--fail=/proc/meminfo=EBOGUS", "no errno"),
        ("--fail=/proc/meminfo", "not PATH=ERRNO"),
        ("--policy=bogus", "no policy"),
        ("--hide=meminfo", "starts with /"),
        ("--hide=/proc", "needs"),
        ("--hide=/proc/self", "needs"),
        ("--hide=/sys/fs", "needs"),
        ("--garble=x", "starts with /"),
        ("--only=meminfo", "no such file"),
        ("--only=/proc/nosuch", "no such file"),
        ("--only=", "no such file"),
        ("--only=/", "needs"),
        ("--only=/proc", "needs"),
        ("--only=/proc/self", "needs"),
        ("--join=1", "--machine and --join exclude each other"),
    ],
)
def test_a_wrong_option_is_wrong_usage(option: str, why: str) -> None:
    done = vmfs("run", "--machine", "tiny", option, "true")
    assert done.returncode == 2
    assert why in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_pattern_names_many_and_a_slash_at_the_end_none_else() -> None:
    shown = output("cat /proc/version; grep -c '^Node' /proc/zoneinfo", "--only", "/proc/*info")
    assert shown.startswith(Path("/proc/version").read_text())
    assert int(shown.splitlines()[-1]) == len(list(twin().machine.zones()))
    hidden = output(
        "ls -d /proc/meminfo /sys/kernel/mm 2>&1 || true", "--hide", "/proc/mem*/", "--hide=/sys/kernel/mm/"
    )
    assert hidden.count("No such file or directory") == 2


def test_user_is_who_called() -> None:
    uid, gid = user()
    assert output("id -u; id -g; cat /proc/self/loginuid >/dev/null", "--user", machine="tiny").split() == [
        str(uid),
        str(gid),
    ]


def test_root_needs_no_user_namespace() -> None:
    if os.getuid():
        pytest.skip("only root can be root")
    uid, _ = user()
    as_user = f"setpriv --reuid={uid} --clear-groups sh -c 'free -k; cat /proc/slabinfo'"
    script = f"cat /proc/self/uid_map; free -k; {as_user}"
    done = vmfs("run", "--machine", "tiny", "--clock", "manual", "sh", "-c", script, as_root=True)
    assert done.stdout.split()[:3] == ["0", "0", str(2**32 - 1)]
    assert re.findall(r"Mem: +(\d+)", done.stdout) == [total("tiny")] * 2
    assert "slabinfo: Permission denied" in done.stderr
    as_ever = vmfs("run", "--machine", "tiny", "--user", "sysctl", "-w", "vm.swappiness=7", as_root=True)
    assert (as_ever.stdout, as_ever.stderr) == ("vm.swappiness = 7\n", "")


@pytest.mark.parametrize(
    "nested",
    [
        "unshare -pf --mount-proc {}",
        "unshare -Urpf --mount-proc {}",
        "bwrap --dev-bind / / --unshare-all --proc /proc {}",
        "bwrap --dev-bind / / --bind / / {}",
        "bwrap --ro-bind / / --dev /dev --proc /proc --unshare-user --unshare-pid --unshare-net {}",
    ],
)
def test_namespaces_inside_work(nested: str) -> None:
    shown = output(nested.format("sh -c 'cat /proc/self/stat; nproc; cat /sys/devices/system/cpu/possible'"))
    assert shown.splitlines()[1:] == ["8", "0-7"]


def test_a_run_inside_a_run() -> None:
    inner = shlex.join(
        [*RUN, "run", "--machine", "octo", "sh", "-c", "free -k; getconf _PHYS_PAGES; lscpu; nproc"]
    )
    done = vmfs("run", "--machine", "tiny", "sh", "-c", f"{inner}; free -k; nproc", as_root=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.findall(r"Mem: +(\d+)", done.stdout) == [total("octo"), total("tiny")]
    assert re.findall(r"NUMA node\(s\): +(\d+)", done.stdout) == ["8"]
    assert re.findall(r"^\d+$", done.stdout, re.MULTILINE) == [str(int(total("octo")) // 4), "128", "1"]


# Nothing remains


def mounts_of(pid: int) -> list[str]:
    """Where a run's mounts are seen: not those of `vmfs mount`, which other tests may have."""
    lines = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
    points = [line.split()[4] for line in lines if " vmfs " in line.partition(" - ")[2]]
    return [point for point in points if point.startswith(("/proc/", "/sys/", "/dev/"))]


def test_a_run_that_ends_leaves_nothing() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        environment = ENVIRONMENT | {"TMPDIR": folder}
        with running("read line; exit 3", stdin=subprocess.PIPE, env=environment) as process:
            assert len(of_group(process.pid)) == 3
            assert mounts_of(os.getpid()) == []
            assert "/proc/meminfo" in mounts_of(process.pid)
            process.stdin.close()
            assert process.wait(60) == 3
            assert of_group(process.pid) == []
        assert mounts_of(os.getpid()) == []
        assert os.listdir(folder) == []


def test_what_stays_in_the_background_ends_with_the_run() -> None:
    stubborn = "sh -c 'trap \"\" TERM; echo $$; while :; do sleep 0.1; done' &"
    apart = "setsid unshare -Urm sh -c 'echo $$; exec sleep 64' &"
    script = f"sleep 63 & echo $!; {stubborn} {apart} read line; kill -9 $$"
    with running(script, stdin=subprocess.PIPE) as process:
        left = [int(process.stdout.readline()) for _ in range(3)]
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.wait(60) == 128 + signal.SIGKILL
        assert [pid for pid in left if _is_there(pid)] == []
        assert of_group(process.pid) == []


def test_a_background_process_is_told_before_it_is_killed() -> None:
    background = "trap 'echo ended; exit' TERM; kill -USR1 $$; while :; do sleep 0.05; done"
    with running(f"trap 'exit 2' USR1; ({background}) & wait") as process:
        assert process.wait(60) == 2
        assert process.stdout.read() == "ended\n"


def test_a_daemon_that_is_killed_is_missed() -> None:
    with running(
        "read line; cat /proc/meminfo; exit 5", stdin=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        daemon = min(pid for pid in of_group(process.pid) if pid != process.pid)
        os.kill(daemon, signal.SIGKILL)
        assert "the daemon was killed" in process.stdout.readline()
        process.stdin.write("\n")
        process.stdin.flush()
        assert "not connected" in process.stdout.readline()
        assert process.wait(60) == 5


@pytest.mark.parametrize("whom", ["vmfs", "vmfs and its daemon", "all of vmfs"])
def test_a_run_that_is_killed_leaves_nothing(whom: str) -> None:
    with running("sleep 61 & echo $!; sleep 62; true") as process:
        inside = int(process.stdout.readline())
        ours = of_group(process.pid)
        assert len(ours) == 3
        for pid in {"vmfs": [process.pid], "vmfs and its daemon": ours[:2], "all of vmfs": ours}[whom]:
            os.kill(pid, signal.SIGKILL)
        process.wait(60)
        assert eventually(lambda: not [pid for pid in ours if _is_there(pid)])
        if whom != "all of vmfs":  # what it started ends with it; else nobody is left to see to that
            assert eventually(lambda: not _is_there(inside))
        elif _is_there(inside):
            os.kill(inside, signal.SIGKILL)


def _is_there(pid: int) -> bool:
    try:
        return _lives(Path(f"/proc/{pid}"))
    except OSError:
        return False


# Joining


def test_enter_and_join_see_the_same_machine() -> None:
    with running("echo 9 > /proc/sys/vm/nr_hugepages; echo ready; sleep 60") as process:
        assert process.stdout.readline() == "ready\n"
        for words in (("enter", "--pid", str(process.pid)), ("run", "--join", str(process.pid))):
            script = (
                "cat /proc/sys/vm/nr_hugepages; nproc; grep Mems_allowed_l /proc/self/status; id -u; exit 6"
            )
            done = vmfs(*words, "sh", "-c", script)
            assert (done.returncode, done.stdout) == (6, "9\n1\nMems_allowed_list:\t0\n0\n")
        inside = next(pid for pid in _children(process.pid) if pid not in processes_of_runs())
        assert vmfs("enter", "--pid", str(inside), "nproc").stdout == "1\n"


def test_a_run_can_be_entered_from_inside() -> None:
    enter = shlex.join([*RUN, "enter", "--pid", "$PPID", "nproc"]).replace("'$PPID'", "$PPID")
    done = vmfs("run", "--machine", "octo", "sh", "-c", enter, as_root=True)
    assert (done.stdout, done.stderr) == ("128\n", "")


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize(("pid", "why"), [("1", "process 1 is in no run"), ("4194399", "is in no run")])
def test_what_cannot_be_entered(pid: str, why: str) -> None:
    done = vmfs("enter", "--pid", pid, "true")
    assert done.returncode == 1
    assert why in done.stderr
    assert done.stderr.count("\n") == 1


# System calls


def test_without_seccomp_the_kernel_answers_but_the_command_knows_its_nodes() -> None:
    shown = output("getconf _PHYS_PAGES; exec grep Mems_allowed_list /proc/self/status", "--no-seccomp")
    pages, _, mems = shown.partition("\n")
    assert int(pages) == os.sysconf("SC_PHYS_PAGES")
    assert mems == "Mems_allowed_list:\t0-1\n"


def test_affinity_and_policy_are_inherited_and_checked() -> None:
    script = """
taskset -c 2,5 sh -c 'nproc; taskset -c 9 true || echo refused; (taskset -pc $$)'
numactl --interleave=0,1 sh -c 'numactl --show | grep -E "^(policy|membind)"'
numactl --preferred=1 numactl --show | grep preferred
nproc
"""
    shown = run(script).stdout
    assert (
        re.sub(r"pid \d+", "pid N", shown).splitlines()
        == [
            "2",
            "refused",
            "pid N's current affinity list: 2,5",
            "policy: interleave",
            "membind: 0 1 ",
            "preferred node: 1",
            "preferred: 1 ",
            "8",
        ]
        or "preferred node: 1" in shown
    )


def test_a_status_is_the_processs_own_but_for_cpus_and_nodes() -> None:
    shown = output(
        "cat /proc/self/status; echo; cat /proc/$$/status; ls -l /proc/self/status", machine="octo"
    )
    own, _, shell = shown.partition("\n\n")
    assert "Name:\tcat\n" in own
    assert "Name:\tsh\n" in shell
    for status in (own, shell):
        assert "Cpus_allowed_list:\t0-127\n" in status
        assert "Mems_allowed_list:\t0-7\n" in status
