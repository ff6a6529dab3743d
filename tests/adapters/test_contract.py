"""One contract, over every way to a tree: a FUSE mount, pyfakefs and plain files."""

from __future__ import annotations

import errno
import io
import json
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest
from pyfakefs.fake_filesystem import FakeFilesystem
from pyfakefs.fake_open import FakeFileOpen
from pyfakefs.fake_os import FakeOsModule

from tests.mounting import mounted
from vmfs import spec
from vmfs.adapters import fakefs
from vmfs.adapters.export import export
from vmfs.tree import Directory, Leaf, Symlink, Tree
from vmfs.tree.boot import booted

MACHINE = "tiny"
SWAPPINESS = "/proc/sys/vm/swappiness"
NR_HUGEPAGES = "/proc/sys/vm/nr_hugepages"
POOL = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"


@dataclass
class Way:
    """The calls of `os` and `open` that reach the tree at `root`."""

    os: Any
    open: Callable[..., IO[Any]]
    root: str

    def at(self, path: str) -> str:
        return f"{self.root}{path}" if path != "/" else self.root or "/"

    def read(self, path: str) -> str:
        with self.open(self.at(path)) as file:
            text: str = file.read()
        return text

    def write(self, path: str, text: str) -> None:
        with self.open(self.at(path), "w") as file:
            file.write(text)


def fresh_tree() -> Tree:
    return booted(spec.load(MACHINE))


def fuse(folder: Path) -> Iterator[Way]:
    del folder
    with mounted("--machine", MACHINE, "--clock", "manual") as mount:
        yield Way(os, open, str(mount))


def pyfakefs(folder: Path) -> Iterator[Way]:
    del folder
    fs = FakeFilesystem()
    fakefs.mount(fs, fresh_tree())
    yield Way(FakeOsModule(fs), FakeFileOpen(fs), "")


def files(folder: Path) -> Iterator[Way]:
    export(fresh_tree(), folder / "tree")
    yield Way(os, open, str(folder / "tree"))


@pytest.fixture(scope="module", params=[fuse, pyfakefs, files], ids=lambda way: way.__name__)
def way(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    yield from request.param(tmp_path_factory.mktemp("way"))


@pytest.fixture(params=[fuse, pyfakefs], ids=lambda way: way.__name__)
def live(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Way]:
    """A way behind which a machine moves."""
    yield from request.param(tmp_path)


@pytest.fixture(scope="module")
def tree() -> Tree:
    """The same machine as behind each way: nothing of it is left to chance."""
    return fresh_tree()


def test_names_types_and_modes_are_the_trees(way: Way, tree: Tree) -> None:
    for entry in tree.walk():
        found = way.os.lstat(way.at(entry.path))
        assert stat.S_IFMT(found.st_mode) == stat.S_IFMT(entry.mode), entry.path
        if isinstance(entry, Directory):
            assert sorted(set(way.os.listdir(way.at(entry.path))) - {"tmp"}) == sorted(
                tree.listdir(entry.path)
            )
        if isinstance(entry, Symlink):
            assert way.os.readlink(way.at(entry.path)) == entry.target
        elif entry.path != "/":
            assert oct(found.st_mode) == oct(entry.mode), entry.path


def test_texts_and_lengths_are_the_trees(way: Way, tree: Tree) -> None:
    compared = 0
    for entry in tree.walk():
        if isinstance(entry, Leaf) and entry.mode & 0o400:
            text = tree.read(entry.path)
            assert way.read(entry.path) == text, entry.path
            assert way.os.stat(way.at(entry.path)).st_size == len(text.encode()), entry.path
            compared += 1
    assert compared > 300


def test_links_lead_into_the_tree(way: Way, tree: Tree) -> None:
    node = "/sys/devices/system/node/node0"
    links = [name for name in tree.listdir(node) if isinstance(tree.entry(f"{node}/{name}"), Symlink)]

    assert {"cpu0", "memory0"} <= set(links)
    assert way.read(f"{node}/memory0/state") == "online\n"


def test_what_nobody_may_read_tells_nothing(way: Way) -> None:
    path = "/proc/sys/vm/drop_caches"
    assert way.os.stat(way.at(path)).st_size == 0
    if way.root.endswith("/tree") and os.geteuid() == 0:
        assert way.read(path) == ""  # root reads plain files whatever their mode
    else:
        with pytest.raises(PermissionError):
            way.read(path)


def test_what_is_not_there(way: Way) -> None:
    with pytest.raises(FileNotFoundError):
        way.read("/proc/no-such-file")
    with pytest.raises(NotADirectoryError):
        way.os.listdir(way.at("/proc/meminfo"))


def test_a_write_moves_the_machine(live: Way) -> None:
    before = live.read("/proc/meminfo")
    live.write(NR_HUGEPAGES, "20\n")

    assert live.read(NR_HUGEPAGES) == "20\n"
    assert live.read(POOL) == "20\n"
    after = live.read("/proc/meminfo")
    assert "HugePages_Total:      20\n" in after
    assert free(before) - free(after) == 20 * 2048
    live.write(POOL, "3\n")
    assert live.read(NR_HUGEPAGES) == "3\n"


def free(meminfo: str) -> int:
    return int(meminfo.partition("MemFree:")[2].split(maxsplit=1)[0])


def test_a_refused_write_is_einval_and_changes_nothing(live: Way) -> None:
    for text in ("abc\n", "201\n", "-1\n", "\n", "5\0"):
        with pytest.raises(OSError, match="Invalid") as refused:
            live.write(SWAPPINESS, text)
        assert refused.value.errno == errno.EINVAL
    assert live.read(SWAPPINESS) == "60\n"


def test_an_append_is_a_write(live: Way) -> None:
    with live.open(live.at(SWAPPINESS), "a") as file:
        file.write("17\n")
    assert live.read(SWAPPINESS) == "17\n"


def test_a_rest_after_the_number_is_swallowed(live: Way) -> None:
    live.write(SWAPPINESS, "33 44\n")
    assert live.read(SWAPPINESS) == "33\n"


def test_who_rewinds_reads_anew(live: Way) -> None:
    with live.open(live.at(SWAPPINESS)) as file:
        assert file.read() == "60\n"
        live.write(SWAPPINESS, "100\n")
        file.seek(0, io.SEEK_SET)
        assert file.read() == "100\n"


def test_a_sysctl_that_cannot_be_written(live: Way) -> None:
    with pytest.raises(PermissionError):
        live.write("/proc/sys/kernel/version", "x\n")
    with pytest.raises(PermissionError):
        live.write("/sys/devices/system/node/node0/meminfo", "x\n")


def test_names_cannot_be_made_or_removed(live: Way) -> None:
    refusals: list[tuple[Callable[[str], object], str, int]] = [
        (live.os.mkdir, "/proc/sys/vm/new", errno.ENOENT),
        (live.os.mkdir, "/sys/kernel/new", errno.EPERM),
        (lambda path: live.open(path, "w"), "/proc/new", errno.ENOENT),
        (lambda path: live.open(path, "w"), "/sys/kernel/new", errno.EACCES),
        (live.os.unlink, "/proc/meminfo", errno.EPERM),
        (live.os.unlink, SWAPPINESS, errno.EACCES),
    ]
    for call, path, number in refusals:
        with pytest.raises(OSError, match=r"ermi|o such") as refused:
            call(live.at(path))
        assert (path, refused.value.errno) == (path, number)


def test_control_lines_act_and_answer(live: Way) -> None:
    live.write("/vmfs/ctl", "start hog anon=50M\n")
    pid = live.read("/vmfs/ctl").strip()
    assert tasks(live) == [int(pid)]
    with pytest.raises(ProcessLookupError):
        live.write("/vmfs/ctl", "stop nobody\n")
    assert live.read("/vmfs/ctl") == "stop: no task nobody\n"
    live.write("/vmfs/ctl", f"stop {pid}\nadvance 10\n")
    assert tasks(live) == []
    assert float(live.read("/vmfs/clock")) >= 10


def tasks(way: Way) -> list[int]:
    return [task["pid"] for task in json.loads(way.read("/vmfs/status"))["tasks"]]
