"""The command line: exit codes, one line of error, and what each command prints."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests import recordings
from tests.mounting import mounted
from vmfs import cli

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def vmfs(monkeypatch: pytest.MonkeyPatch, capfd: Captured):
    """Runs a command in this process: exit code, standard output, standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vmfs", *arguments])
        monkeypatch.setattr(cli.signal, "signal", lambda *_: None)
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capfd.readouterr()
        return int(end.value.code or 0), out, err

    return run


def is_one_line(text: str) -> bool:
    return text.startswith("vmfs: ") and text.endswith("\n") and text.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nonsense",),
        ("mount",),
        ("mount", "--nonsense", "/tmp"),
        ("show",),
        ("show", "--machine", "tiny", "--from", "/tmp", "/proc"),
        ("show", "--kernel", "4.18", "/proc"),
        ("show", "--clock", "fast", "/proc"),
        ("show", "--clock", "0x", "/proc"),
        ("show", "--seed", "many", "/proc"),
        ("umount",),
        ("export",),
        ("capture",),
        ("ctl", "--at", "/tmp"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(vmfs, arguments: tuple[str, ...], monkeypatch) -> None:
    monkeypatch.delenv("VMFS_ROOT", raising=False)
    code, out, err = vmfs(*arguments)

    assert (code, out) == (2, "")
    assert is_one_line(err)
    assert "--help)" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("show", "--machine", "nonsense", "/proc"), "nonsense"),
        (("show", "--machine", "/nowhere.toml", "/proc"), "/nowhere.toml"),
        (("show", "--machine", "tiny", "/proc/nonsense"), "/proc/nonsense: No such file or directory"),
        (("show", "--machine", "tiny", "/proc/meminfo/x"), "/proc/meminfo/x: Not a directory"),
        (("show", "--machine", "tiny", "/proc/sys/vm/drop_caches"), "Permission denied"),
        (("show", "--from", "/nowhere", "/proc"), "/nowhere"),
        (("umount", "/"), "not of vmfs"),
        (("umount", "/nowhere"), "nothing is mounted on /nowhere"),
        (("machines", "nonsense"), "nonsense"),
        (("ctl", "--at", "/nowhere", "oom"), "/nowhere is no mount of vmfs"),
        (("mount", "--machine", "tiny", "/nowhere"), "mkdir -p /nowhere"),
    ],
)
def test_what_fails_is_one_line_and_exit_1(vmfs, arguments: tuple[str, ...], words: str) -> None:
    code, out, err = vmfs(*arguments)

    assert (code, out) == (1, "")
    assert is_one_line(err)
    assert err.startswith(f"vmfs: {arguments[0]}: ")
    assert words in err


@pytest.mark.parametrize("command", [(), *((name,) for name in cli.vmfs.commands)])
def test_every_command_has_help(vmfs, command: tuple[str, ...]) -> None:
    code, out, err = vmfs(*command, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: vmfs {' '.join(command)}")


def test_version(vmfs) -> None:
    assert vmfs("--version")[:2] == (0, "vmfs, version 0.1.0\n")


def test_a_fault_of_ours_is_one_line_and_its_traceback_is_for_debug(vmfs, monkeypatch, caplog) -> None:
    def broken(*_: object) -> None:
        raise KeyError("broken")

    monkeypatch.setattr("vmfs.tree.tree.Tree.listdir", broken)
    code, _, err = vmfs("show", "--machine", "tiny", "/proc")
    assert code == 1
    assert is_one_line(err)
    assert "KeyError" in err
    assert not caplog.records

    vmfs("--debug", "show", "--machine", "tiny", "/proc")
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [KeyError]


def test_show_prints_files_lists_directories_and_follows_links(vmfs) -> None:
    code, out, err = vmfs(
        "show", "--machine", "article", "proc/sys/vm/swappiness", "/sys/devices/system/node"
    )
    assert (code, err) == (0, "")
    assert out.startswith("60\n")
    assert {"node0", "node1", "online"} <= set(out.split())

    node = "/sys/devices/system/node"
    assert vmfs("show", f"{node}/node0/memory0/../memory0/state")[1] == "online\n"


def test_show_goes_on_after_a_path_that_is_missing(vmfs) -> None:
    code, out, err = vmfs("show", "--machine", "tiny", "/nowhere", "/proc/sys/vm/swappiness")
    assert (code, out, is_one_line(err)) == (1, "60\n", True)


def test_kernel_and_seed_say_which_machine(vmfs) -> None:
    _, out, _ = vmfs("show", "--machine", "tiny", "--kernel", "5.10", "--seed", "7", "/vmfs/status")
    status = json.loads(out)
    assert (status["machine"], status["kernel"], status["seed"]) == ("tiny", "5.10", 7)


def test_a_capture_names_its_kernel_unless_told(vmfs) -> None:
    step = str(recordings.steps(recordings.load("small-6.1"))[0])
    _, out, err = vmfs("show", "--from", step, "/vmfs/status")
    assert json.loads(out)["kernel"] == "6.1"
    assert all(line.startswith("vmfs: warning: ") for line in err.splitlines())


def test_the_same_machine_shows_the_same_text(vmfs) -> None:
    files = ("/proc/zoneinfo", "/proc/slabinfo", "/proc/vmstat", "/proc/pagetypeinfo", "/vmfs/status")
    once, again = (vmfs("show", "--clock", "manual", *files)[1] for _ in range(2))
    assert once == again
    assert len(once) > 10000


def test_machines_lists_names_first_and_prints_a_description(vmfs) -> None:
    _, out, _ = vmfs("machines")
    names = [line.split()[0] for line in out.splitlines()]
    assert {"article", "laptop", "tiny", "x86-32", "octo", "cxl", "huge"} <= set(names)
    assert "[[node]]" in vmfs("machines", "article")[1]


@pytest.mark.parametrize("name", ["article", "laptop", "tiny", "x86-32", "octo", "cxl", "huge"])
def test_every_built_in_machine_boots(vmfs, name: str) -> None:
    code, out, err = vmfs("show", "--machine", name, "/proc/meminfo")
    assert (code, err) == (0, "")
    assert out.startswith("MemTotal:")


def test_export_writes_modes_and_leaves_what_is_there(vmfs, tmp_path: Path) -> None:
    target = tmp_path / "tree"
    assert vmfs("export", "--machine", "tiny", str(target)) == (0, "", "")
    assert stat.S_IMODE((target / "proc/slabinfo").stat().st_mode) == 0o400
    assert stat.S_IMODE((target / "proc").stat().st_mode) == 0o555
    assert (target / "proc/sys/vm/swappiness").read_text() == "60\n"

    code, _, err = vmfs("export", "--machine", "tiny", str(target))
    assert (code, is_one_line(err)) == (1, True)


def test_capture_is_what_from_takes(vmfs, tmp_path: Path) -> None:
    code, out, err = vmfs("capture", str(tmp_path / "host.tar.xz"))
    assert (code, out) == (0, "")
    assert all(line.startswith("vmfs: warning: ") for line in err.splitlines())

    files = ("/proc/version", "/proc/sys/vm/overcommit_ratio", "/proc/sys/vm/dirty_writeback_centisecs")
    code, out, _ = vmfs("show", "--from", str(tmp_path / "host.tar.xz"), *files)
    assert (code, out) == (0, "".join(Path(file).read_text() for file in files))


def test_show_ends_quietly_when_nobody_reads_on() -> None:
    command = (
        f"{sys.executable} -m vmfs show --machine tiny /proc/zoneinfo /proc/slabinfo /proc/vmstat | head -1"
    )
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("Node 0, zone      DMA\n", "")


def test_the_shell_completes_commands() -> None:
    environ = os.environ | {"_VMFS_COMPLETE": "bash_complete", "COMP_WORDS": "vmfs mach", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "vmfs"], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "plain,machines"


def test_ctl_prints_answers_and_stops_at_a_refusal(vmfs, monkeypatch) -> None:
    with mounted("--machine", "tiny", "--clock", "manual") as mount:
        monkeypatch.setenv("VMFS_ROOT", str(mount))
        booted_at = float((mount / "vmfs/clock").read_text())
        code, out, err = vmfs("ctl", "start a anon=1M", "advance 2.5", "start b anon=1%")
        assert (code, err) == (0, "")
        assert [int(pid) for pid in out.splitlines()] == [pid for pid, _ in tasks(mount)]
        assert float((mount / "vmfs/clock").read_text()) == pytest.approx(booted_at + 2.5)

        code, out, err = vmfs("ctl", "--at", str(mount), "stop a", "stop a", "stop b")
        assert (code, out, err) == (1, "", "vmfs: ctl: stop: no task a\n")
        vmfs("ctl", "--at", str(mount), "start big anon=99%")
        assert "\noom_kill 1\n" in (mount / "proc/vmstat").read_text()  # the line was sent once
        assert [name for _, name in tasks(mount)] == ["b"]


def tasks(mount: Path) -> list[tuple[int, str]]:
    status = json.loads((mount / "vmfs/status").read_text())
    return [(task["pid"], task["name"]) for task in status["tasks"]]


def test_a_subtree_is_the_mount_point_itself() -> None:
    with mounted("--machine", "tiny", "--subtree", "/proc") as mount:
        assert (mount / "meminfo").read_text().startswith("MemTotal:")
        assert not (mount / "proc").exists()
        assert stat.S_IMODE(mount.stat().st_mode) == 0o555
    with (
        pytest.raises(RuntimeError, match="--subtree /nowhere: No such file"),
        mounted("--subtree", "/nowhere"),
    ):
        pass


def test_the_clock_runs_as_told() -> None:
    with (
        mounted("--machine", "tiny", "--clock", "1000x") as fast,
        mounted("--machine", "tiny", "--clock", "manual") as still,
    ):
        before = [float((mount / "vmfs/clock").read_text()) for mount in (fast, still)]
        while float((fast / "vmfs/clock").read_text()) < before[0] + 100:
            pass
        assert float((still / "vmfs/clock").read_text()) == before[1]
        with pytest.raises(OSError, match="Invalid"):
            (fast / "vmfs/ctl").write_text("advance 1\n")
        assert "manual" in (fast / "vmfs/ctl").read_text()
