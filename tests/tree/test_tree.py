"""Paths, listings, the text that is kept and the text that is frozen: on tables of a few rows."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from tests.small_machine import small_machine
from vmfs.kernel import Feature
from vmfs.tree import Directory, Leaf, Symlink, Tree
from vmfs.views.entry import Dir, File, Link, top

NODES = "/sys/devices/system/node"


class Rendered:
    """A view that says how often it was rendered, and a Dir that says how often it was expanded."""

    def __init__(self) -> None:
        self.texts = count(1)
        self.expanded = 0

    def text(self, _subject: Any) -> str:
        return f"{next(self.texts)}\n"

    def many(self, number: int) -> Any:
        def each(_machine: Any) -> Iterator[Any]:
            self.expanded += 1
            return iter([((i,), i) for i in range(number)])

        return each


def table_tree(*dirs: Dir[Any]) -> Tree:
    return Tree(small_machine(), dirs=dirs)


def set_value(box: Any, data: bytes, offset: int) -> int:
    if offset:
        return len(data)
    first = data.split()[0]
    if not first.isdigit():
        raise OSError(errno.EINVAL, "not a number")
    box.value = int(first)
    return len(first) + 1


def test_a_path_finds_its_row_and_subject() -> None:
    tree = table_tree(
        Dir(f"{NODES}/node{{}}", (File("id", lambda n: f"{n}\n"),), lambda _: [((i,), i) for i in (0, 3)]),
        Dir(
            f"{NODES}/node{{}}/hugepages/hugepages-{{}}kB",
            (File("where", lambda s: f"{s}\n"),),
            lambda _: [((0, 2048), "small"), ((3, 1048576), "large")],
        ),
    )

    assert tree.listdir(NODES) == ["node0", "node3"]
    assert tree.read(f"{NODES}/node3/id") == "3\n"
    assert tree.listdir(f"{NODES}/node3/hugepages") == ["hugepages-1048576kB"]
    assert tree.read(f"{NODES}/node0/hugepages/hugepages-2048kB/where") == "small\n"
    for missing in (f"{NODES}/node1", f"{NODES}/node0/hugepages/hugepages-1048576kB", "/nope", "/proc"):
        with pytest.raises(FileNotFoundError):
            tree.entry(missing)


def test_a_file_is_no_directory_and_a_directory_no_file() -> None:
    tree = table_tree(top("/proc", File("meminfo", lambda _: "x\n")))

    with pytest.raises(NotADirectoryError):
        tree.entry("/proc/meminfo/x")
    with pytest.raises(NotADirectoryError):
        tree.listdir("/proc/meminfo")
    with pytest.raises(IsADirectoryError):
        tree.read("/proc")
    with pytest.raises(OSError, match="Invalid") as refused:
        tree.readlink("/proc/meminfo")
    assert refused.value.errno == errno.EINVAL


def test_procfs_lists_short_names_first_and_processes_last() -> None:
    tree = table_tree(
        top(
            "/proc",
            *(File(name, lambda _: "") for name in ("vmstat", "self", "stat", "cmdline", "buddyinfo")),
        ),
        Dir("/proc/{}", (File("status", lambda _: ""),), lambda _: [((pid,), pid) for pid in (10, 9, 1000)]),
    )

    assert tree.listdir("/proc") == [*("stat", "vmstat", "cmdline", "buddyinfo", "self"), "9", "10", "1000"]


def test_two_rows_for_one_path_are_refused() -> None:
    row = top("/proc", File("meminfo", lambda _: ""))
    with pytest.raises(ValueError, match="/proc/meminfo"):
        table_tree(row, row)


def test_a_row_whose_feature_is_off_is_not_there() -> None:
    files = (File("shown", lambda _: ""), File("hidden", lambda _: "", needs=Feature.NR_GPU))
    tree = table_tree(top("/proc", *files), top("/sys/kernel", File("x"), needs=Feature.NR_GPU))

    assert tree.listdir("/") == ["proc", "vmfs"]
    assert tree.listdir("/proc") == ["shown"]


def test_links_of_a_table_and_of_a_subject() -> None:
    tree = table_tree(
        Dir(
            f"{NODES}/node{{}}",
            (Link("subsystem", lambda _: "../../../../bus/node"), File("meminfo", lambda n: f"{n}\n")),
            lambda _: [((0,), 0), ((1,), 1)],
            links=lambda n: [(f"cpu{n}", f"../node{n}")],
        ),
        top("/bus/node", File("x", lambda _: "bus\n")),
    )

    assert tree.listdir(f"{NODES}/node1") == ["cpu1", "meminfo", "subsystem"]
    assert tree.readlink(f"{NODES}/node1/cpu1") == "../node1"
    assert tree.resolve(f"{NODES}/node1/cpu1/meminfo") == f"{NODES}/node1/meminfo"
    assert tree.read(tree.resolve(f"/{NODES}/node0/../node0/./cpu0/meminfo")) == "0\n"
    with pytest.raises(FileNotFoundError):
        tree.resolve(f"{NODES}/node0/subsystem/x")


def test_a_link_to_itself_is_a_loop() -> None:
    tree = table_tree(top("/proc", Link("a", lambda _: "b"), Link("b", lambda _: "a")))
    with pytest.raises(OSError, match="levels") as refused:
        tree.resolve("/proc/a")
    assert refused.value.errno == errno.ELOOP


def test_many_directories_cost_nothing_to_who_does_not_look() -> None:
    many = Rendered()
    tree = table_tree(
        Dir("/sys/devices/system/memory/memory{}", (File("state", lambda _: ""),), many.many(32768)),
        top("/proc", File("meminfo", lambda _: "x\n")),
    )

    assert tree.listdir("/") == ["proc", "sys", "vmfs"]
    tree.read("/proc/meminfo")
    assert many.expanded == 1  # whether /sys has anything

    assert len(tree.listdir("/sys/devices/system/memory")) == 32768
    for number in range(100):
        tree.read(f"/sys/devices/system/memory/memory{number}/state")
    assert tree.stat("/sys/devices/system/memory").st_nlink == 2 + 32768
    expanded = many.expanded
    tree.read("/sys/devices/system/memory/memory7/state")
    assert many.expanded == expanded


def test_names_are_found_anew_when_the_topology_changes() -> None:
    there = [1]
    tree = table_tree(
        Dir("/proc/{}", (File("status", lambda n: f"{n}\n"),), lambda _: [((n,), n) for n in there])
    )
    handle = tree.open("/proc/1/status", os.O_RDONLY)
    assert handle.read(10, 0) == b"1\n"

    there[:] = [2]
    assert tree.listdir("/proc") == ["1"]
    tree.machine.topology += 1

    assert tree.listdir("/proc") == ["2"]
    assert tree.read("/proc/2/status") == "2\n"
    with pytest.raises(FileNotFoundError):
        handle.read(10, 0)


def test_a_text_is_rendered_once_per_state() -> None:
    view = Rendered()
    tree = table_tree(top("/proc", File("meminfo", view.text)))

    assert [tree.read("/proc/meminfo") for _ in range(3)] == ["1\n"] * 3
    assert tree.stat("/proc/meminfo").st_size == 2
    tree.machine.touch()
    assert tree.read("/proc/meminfo") == "2\n"


def test_a_text_that_tells_the_time_moves_with_the_clock_alone() -> None:
    view, still = Rendered(), Rendered()
    files = (File("uptime", view.text, timed=True), File("meminfo", still.text))
    tree = table_tree(top("/proc", *files))
    generation = tree.machine.generation

    tree.read("/proc/uptime")
    tree.machine.tick(0.02)

    assert (tree.read("/proc/uptime"), tree.read("/proc/meminfo")) == ("2\n", "1\n")
    assert tree.machine.generation == generation
    assert tree.read("/proc/meminfo") == "1\n"


def test_time_passes_before_anybody_looks() -> None:
    passed = iter([1.5, 0.0])
    tree = Tree(small_machine(), elapsed=lambda: next(passed), dirs=())
    tree.listdir("/")

    assert tree.machine.clock.uptime_centisecs == 150


def test_a_rewound_handle_is_fresh_and_one_that_goes_on_is_not_torn() -> None:
    view = Rendered()
    tree = table_tree(top("/proc", File("meminfo", lambda s: view.text(s) * 100)))
    handle = tree.open("/proc/meminfo", os.O_RDONLY)

    assert handle.read(4, 0) == b"1\n1\n"
    tree.machine.touch()
    assert handle.read(4, 4) == b"1\n1\n"
    assert handle.read(4, 1 << 20) == b""
    assert handle.read(4, 0) == b"2\n2\n"


def test_numbers_of_sysctls_come_at_once_and_strings_as_one_likes() -> None:
    files = (File("swappiness", lambda _: "60\n"), File("version", lambda _: "#1 SMP\n", string=True))
    tree = table_tree(top("/proc/sys/vm", *files))
    number, string = (tree.open(f"/proc/sys/vm/{f.name}", os.O_RDONLY) for f in files)

    assert (number.read(1, 0), number.read(1, 1)) == (b"6", b"")
    assert (string.read(2, 0), string.read(99, 2)) == (b"#1", b" SMP\n")


def test_an_append_starts_at_the_beginning() -> None:
    box = SimpleNamespace(value=100)
    tree = table_tree(
        Dir("/proc/sys/vm", (File("knob", lambda b: f"{b.value}\n", set_value),), lambda _: [((), box)])
    )

    tree.open("/proc/sys/vm/knob", os.O_WRONLY | os.O_APPEND).write(b"7\n", 4)
    assert box.value == 7
    tree.open("/proc/sys/vm/knob", os.O_WRONLY).write(b"8\n", 4)
    assert box.value == 7


def test_write_goes_on_after_a_short_write() -> None:
    box = SimpleNamespace(value=0)
    tree = table_tree(
        Dir("/proc/sys/vm", (File("knob", lambda b: f"{b.value}\n", set_value),), lambda _: [((), box)])
    )

    tree.write("/proc/sys/vm/knob", "60 7\n")
    assert box.value == 60
    with pytest.raises(OSError, match="not a number"):
        tree.write("/proc/sys/vm/knob", "abc\n")
    assert box.value == 60


def test_sysfs_takes_each_write_whole_and_one_page_of_it() -> None:
    seen: list[tuple[int, int]] = []

    def store(_subject: Any, data: bytes, offset: int) -> int:
        seen.append((len(data), offset))
        return len(data)

    tree = table_tree(top("/sys/kernel", File("knob", lambda _: "", store)))
    handle = tree.open("/sys/kernel/knob", os.O_WRONLY)

    assert (handle.write(b"1" * 5000, 3), handle.write(b"", 0)) == (4096, 0)
    assert seen == [(4096, 0)]


def test_chmod_and_chown_count_where_the_kernel_lets_them() -> None:
    tree = table_tree(top("/proc", File("slabinfo", lambda _: "x\n", mode=0o400)))
    tree.change_mode("/proc/slabinfo", 0o444)
    tree.change_owner("/proc/slabinfo", 7, -1)
    tree.machine.topology += 1

    found = tree.stat("/proc/slabinfo")
    assert (oct(found.st_mode), found.st_uid, found.st_gid) == ("0o100444", 7, tree.owner.gid)


def test_a_walk_finds_every_file_and_each_once() -> None:
    tree = Tree(small_machine())
    entries = list(tree.walk())
    paths = [entry.path for entry in entries]

    assert len(paths) == len(set(paths))
    assert {"/proc/meminfo", "/proc/sys/vm/swappiness", f"{NODES}/node1/meminfo", "/vmfs/ctl"} <= set(paths)
    assert {type(entry) for entry in entries} == {Leaf, Directory, Symlink}


def test_every_text_of_a_machine_can_be_read_and_ends_its_last_line() -> None:
    tree = Tree(small_machine())
    for entry in tree.walk():
        if isinstance(entry, Leaf) and entry.mode & 0o444:
            text = tree.read(entry.path)
            bare = entry.path.endswith(("/wchan", "/loginuid", "/sessionid"))  # a number and nothing else
            whole = text.isdigit() if bare else text.endswith(("\n", "\0"))
            assert not text or whole, entry.path
