"""With --tasks the tasks of the machine are processes: tools list them, and a signal ends them."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.run.running import ENVIRONMENT, MACHINE, REPOSITORY, command, output
from vmfs import spec

MB = 1 << 20
START = """
ctl() { printf '%s\\n' "$*" > $VMFS_ROOT/vmfs/ctl && cat $VMFS_ROOT/vmfs/ctl; }
names() { grep -o '"name": "[a-z]*"' $VMFS_ROOT/vmfs/status | cut -d'"' -f4; }
gone() { for again in $(seq 200); do ps -p $1 >/dev/null || return 0; sleep 0.05; done; return 1; }
"""
HOG = START + "P=$(ctl start hog anon=1G node=1)\n"
TASK = """
[[task]]
name = "{}"
anon = "4M"
"""


def on_tasks(script: str, machine: str = MACHINE) -> str:
    return output(script, "--tasks", machine=machine)


def test_ps_lists_a_task_as_soon_as_it_is_started() -> None:
    shown = on_tasks(HOG + "ps -o pid=,ppid=,rss=,comm=,args= $P; echo $P; ps ax | grep -c '[h]og'")
    row, pid, _ = shown.splitlines()
    assert row.split() == [pid, "1", str(1 << 20), "hog", "/usr/bin/hog"]


def test_top_shows_it() -> None:
    shown = on_tasks(HOG + "top -bn1 -p $P | tail -n1; echo $P")
    columns, pid = shown.splitlines()
    assert columns.split()[0] == pid
    assert [columns.split()[i] for i in (5, -1)] == ["1.0g", "hog"]


def test_numastat_and_pmap_agree_on_where_it_is() -> None:
    shown = on_tasks(HOG + "numastat -p $P; pmap -x $P | tail -n1")
    assert re.findall(r"^Total +([\d.]+) +([\d.]+) +([\d.]+)", shown, re.MULTILINE) == [
        ("0.00", "1024.00", "1024.00")
    ]
    assert re.findall(r"total kB +\d+ +(\d+)", shown) == [str(1 << 20)]


def test_smem_and_psutil_count_it() -> None:
    script = "smem -c 'pid uss pss rss' -H | grep -w $P; /usr/bin/python3 -c"
    script += ' "import psutil; p = psutil.Process($P);'
    shown = on_tasks(
        HOG + script + ' print(p.name(), p.memory_info().rss, p.memory_full_info().uss)"; echo $P'
    )
    sizes, counted, pid = shown.splitlines()
    assert sizes.split() == [pid, str(1 << 20), str(1 << 20), str(1 << 20)]
    assert counted == f"hog {1024 * MB} {1024 * MB}"


def test_kill_stops_the_task_and_frees_its_memory() -> None:
    script = "grep MemFree /proc/meminfo; kill $P; gone $P; names; grep MemFree /proc/meminfo"
    shown = on_tasks(HOG + script)
    assert "hog" not in shown
    before, after = (int(n) for n in re.findall(r"(\d+) kB", shown))
    assert after - before > 1020 << 10  # some wait in the per-cpu lists


def test_a_task_that_stops_is_no_process_any_more() -> None:
    script = "Q=$(ctl start other anon=1M); ctl stop $P; gone $P && echo gone; ps -o comm= -p $Q"
    assert on_tasks(HOG + script).split() == ["gone", "other"]


def test_the_oom_killer_ends_the_process() -> None:
    shown = on_tasks(HOG + "Q=$(ctl oom); [ $P = $Q ] && gone $P && echo gone; names")
    assert shown == "gone\n"


def test_tasks_that_are_there_at_boot_are_processes_too() -> None:
    names = [f"booted{number}" for number in range(24)]
    text = spec.text("tiny") + "".join(TASK.format(name) for name in names)
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        Path(file.name).chmod(0o644)
        file.write(text)
        file.flush()
        shown = on_tasks("ps ax -o comm= | grep booted", machine=file.name)
    assert sorted(shown.split()) == sorted(names)


def test_many_tasks_get_a_process_each_however_fast_they_start() -> None:
    lines = "".join(f"start t{i} anon=1M\\n" for i in range(16))
    script = START + f"printf '{lines}' > $VMFS_ROOT/vmfs/ctl; ps ax -o comm= | grep -cx 't[0-9]*'"
    assert on_tasks(script) == "16\n"


def test_spare_processes_are_not_seen() -> None:
    spare = "for p in /proc/[0-9]*; do [ ! -d $p ] || [ -e $p/stat ] || echo ${p#/proc/}; done"
    shown = on_tasks(f"S=$({spare}); echo $S; for p in $S; do ps -p $p; done; true").splitlines()
    assert len(shown[0].split()) >= 16
    assert all("PID" in row for row in shown[1:])


def test_what_looks_at_every_process_takes_spare_ones_for_ended() -> None:
    look = (
        "import psutil; print([p.name() for p in psutil.process_iter(['memory_info']) if p.name() == 'hog'])"
    )
    shown = on_tasks(HOG + f'/usr/bin/python3 -c "{look}"')
    assert shown == "['hog']\n"


ADOPT = """
import ctypes, os, subprocess, sys, time
ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: whoever loses its parent is ours, as of process 1
subprocess.run(sys.argv[1:], check=True)
try:
    print("left", os.waitpid(-1, os.WNOHANG))
except ChildProcessError:
    print("none")
"""


def test_none_is_left_not_even_dead() -> None:
    script = START + "P=$(ctl start hog anon=1M); ctl start other anon=1M; ctl stop $P"
    run = command("run", "--machine", "tiny", "--tasks", "sh", "-c", script)
    done = subprocess.run(
        [sys.executable, "-c", ADOPT, *run], env=ENVIRONMENT, cwd=REPOSITORY, capture_output=True, text=True
    )
    assert (done.stdout.splitlines()[-1], done.stderr) == ("none", "")
