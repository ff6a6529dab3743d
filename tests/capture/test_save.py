"""`vmfs capture` of a host, here of a recorded one, and back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests import recordings
from vmfs import capture
from vmfs.mm.check import check
from vmfs.tree import Tree

ENDINGS = ["", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst"]


@pytest.fixture(scope="module")
def host() -> Path:
    return recordings.steps(recordings.load("quad-6.12"))[0]


def texts(path: Path) -> dict[str, str]:
    machine, warnings = capture.load(path)
    assert warnings == []
    tree = Tree(machine)
    names = ("meminfo", "zoneinfo", "buddyinfo", "pagetypeinfo", "slabinfo", "vmstat", "cpuinfo", "mounts")
    return {name: tree.read(f"/proc/{name}") for name in names}


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_is_saved_loads_as_the_same_machine(host, tmp_path, ending):
    target = tmp_path / f"host{ending}"
    assert capture.save(target, host) == []
    assert texts(target) == texts(host)
    assert sorted(path.name for path in tmp_path.iterdir()) == [target.name]


def test_this_host(tmp_path):
    """Whatever kernel runs the tests: what can be read makes a machine."""
    skipped = capture.save(tmp_path / "here.tar.gz")
    assert all(": skipped: " in line for line in skipped)
    machine, _ = capture.load(tmp_path / "here.tar.gz")
    check(machine)
    assert Tree(machine).read("/proc/version") == Path("/proc/version").read_text()


def test_an_existing_target_is_left_alone(host, tmp_path):
    (tmp_path / "x.tar").write_text("precious")
    with pytest.raises(capture.CaptureError, match=r"x\.tar: exists; name one that does not"):
        capture.save(tmp_path / "x.tar", host)
    assert (tmp_path / "x.tar").read_text() == "precious"


def test_nowhere_to_write(host, tmp_path):
    with pytest.raises(capture.CaptureError, match="No such file or directory"):
        capture.save(tmp_path / "no" / "such" / "x.tar", host)


def test_unreadable_and_write_only_files(tmp_path):
    root = tmp_path / "root"
    (root / "proc/sys/vm").mkdir(parents=True)
    (root / "proc/meminfo").write_text("MemTotal: 4 kB\n")
    (root / "proc/vmstat").mkdir()  # cannot be read as a file, even by root
    (root / "proc/sys/vm/compact_memory").write_text("")
    os.chmod(root / "proc/sys/vm/compact_memory", 0o200)
    assert capture.save(tmp_path / "copy", root) == [f"{root}/proc/vmstat: skipped: Is a directory"]
    kept = [
        str(path.relative_to(tmp_path / "copy")) for path in (tmp_path / "copy").rglob("*") if path.is_file()
    ]
    assert kept == ["proc/meminfo"]
