"""Control lines: what each does to the machine, and how each is refused."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from vmfs import spec
from vmfs.control.words import pages
from vmfs.mm.mmzone import PAGE_SIZE
from vmfs.mm.vmstat import Item
from vmfs.tree import Tree
from vmfs.tree.boot import booted

CTL = "/vmfs/ctl"
MEGABYTE = (1 << 20) // PAGE_SIZE


@pytest.fixture
def tree() -> Tree:
    return booted(spec.load("tiny"))


def ctl(tree: Tree, *lines: str) -> str:
    tree.write(CTL, "\n".join(lines) + "\n")
    return tree.read(CTL)


def refused(tree: Tree, line: str) -> tuple[int | None, str]:
    with pytest.raises(OSError, match=r"\w") as fault:
        ctl(tree, line)
    return fault.value.errno, tree.read(CTL)


def test_start_answers_the_pid_and_stop_takes_it_or_the_name(tree: Tree) -> None:
    mapped = tree.machine.global_page_state(Item.NR_ANON_PAGES)
    pid = int(ctl(tree, "start hog anon=64M oom_score_adj=-5"))
    task = tree.machine.tasks[pid]
    assert (task.name, task.anon, task.oom_score_adj) == ("hog", 64 * MEGABYTE, -5)
    assert tree.machine.global_page_state(Item.NR_ANON_PAGES) == mapped + 64 * MEGABYTE

    assert ctl(tree, f"stop {pid}") == ""
    ctl(tree, "start hog anon=1M", "stop hog")
    assert pid not in tree.machine.tasks
    assert tree.machine.global_page_state(Item.NR_ANON_PAGES) == mapped


def test_read_and_write_fill_the_page_cache(tree: Tree) -> None:
    before = cached(tree)
    ctl(tree, "read 32M files=8")
    assert cached(tree) == before + 32 * MEGABYTE
    ctl(tree, "write 4M files=2")
    assert cached(tree) == before + 36 * MEGABYTE
    assert tree.machine.global_page_state(Item.NR_DIRTY) > 0


def cached(tree: Tree) -> int:
    """meminfo's Cached."""
    return tree.machine.global_page_state(Item.NR_FILE_PAGES) - tree.machine.buffers


def test_sizes_are_bytes_units_or_a_share_of_memtotal(tree: Tree) -> None:
    total = tree.machine.totalram_pages
    sizes = {"4096": 1, "1": 1, "0": 0, "8K": 2, "8k": 2, "1.5M": 384, "2G": 1 << 19, "1T": 1 << 28}
    for text, size in (sizes | {"10%": -(-total // 10), "0.5%": -(-total // 200)}).items():
        assert pages(tree.machine, text) == size, text


def test_slab_allocates_and_frees_objects(tree: Tree) -> None:
    cache = tree.machine.slab_cache("dentry")
    assert cache
    before = cache.active_objs
    ctl(tree, "slab dentry 5000")
    assert cache.active_objs == before + 5000
    ctl(tree, "slab dentry -4000")
    assert cache.active_objs == before + 1000


def test_fragment_answers_how_many_blocks_it_broke(tree: Tree) -> None:
    assert int(ctl(tree, "fragment keep=0.5")) > 0
    assert int(ctl(tree, "fragment keep=0.5")) == 0
    zone = next(name for name in tree.machine.zone_names)
    assert int(ctl(tree, f"fragment node=0 zone={zone} keep=1")) > 0


def test_swap_areas_come_and_go(tree: Tree) -> None:
    ctl(tree, "swapon 64M", "swapon 32M name=/dev/vdb1 priority=7")
    lines = tree.read("/proc/swaps").splitlines()[1:]
    assert [line.split()[:3] + line.split()[4:] for line in lines] == [
        ["/swap0", "file", "65532", "-2"],
        ["/dev/vdb1", "partition", "32764", "7"],
    ]
    ctl(tree, "swapoff /swap0", "swapoff /dev/vdb1")
    assert len(tree.read("/proc/swaps").splitlines()) == 1


def test_oom_kills_the_largest_and_answers_who_it_was(tree: Tree) -> None:
    pid = ctl(tree, "start small anon=1M", "start large anon=100M")
    assert ctl(tree, "oom") == pid
    assert [task.name for task in tree.machine.tasks.values()] == ["small"]


def test_advance_moves_the_clock_that_nothing_else_moves(tree: Tree) -> None:
    before = tree.machine.clock.uptime_centisecs
    ctl(tree, "advance 1.25")
    assert tree.machine.clock.uptime_centisecs == before + 125

    tree.elapsed = lambda: 0.0
    assert refused(tree, "advance 1") == (
        errno.EINVAL,
        "advance: the clock runs by itself: mount with --clock manual\n",
    )


def test_save_and_load_go_on_as_if_nothing_had_been(tree: Tree, tmp_path: Path) -> None:
    file = tmp_path / "state"
    ctl(tree, "start hog anon=20M", "read 16M", "write 4M", f"save {file}")
    expected = everything(tree)

    ctl(tree, "stop hog", "read 50M", "fragment", f"load {file}")
    assert everything(tree) == expected

    lines = ("read 30M", "start more anon=50M", "advance 60", "fragment keep=0.3")
    ctl(tree, *lines)
    once = everything(tree)
    ctl(tree, f"load {file}", *lines)
    assert everything(tree) == once
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def everything(tree: Tree) -> list[str]:
    names = ("meminfo", "zoneinfo", "buddyinfo", "vmstat", "slabinfo", "pagetypeinfo", "stat", "uptime")
    return [tree.read(f"/proc/{name}") for name in names] + [tree.read("/vmfs/status")]


@pytest.mark.parametrize(
    ("line", "number", "words"),
    [
        ("bogus", errno.EINVAL, "bogus: no such verb; there are start"),
        ("start", errno.EINVAL, "usage: start NAME"),
        ("start a anon", errno.EINVAL, "usage: start NAME"),
        ("start a anon=1M anon=2M", errno.EINVAL, "usage: start NAME"),
        ("start anon=1M", errno.EINVAL, "NAME 'anon=1M': a name is meant"),
        ("start a colour=red", errno.EINVAL, "colour= is not known; usage: start"),
        ("start a anon=1X", errno.EINVAL, "anon '1X': a size is"),
        ("start a anon=-1M", errno.EINVAL, "a size is"),
        ("start a anon=", errno.EINVAL, "a size is"),
        ("start a anon=99999999999T", errno.EINVAL, "no machine is as large"),
        ("start a anon=1M node=7", errno.EINVAL, "node '7': the nodes are 0"),
        ("start a oom_score_adj=1001", errno.EINVAL, "from -1000 to 1000"),
        ("start a anon=100G", errno.ENOMEM, "out of memory"),
        ("start a huge=1000", errno.ENOMEM, "huge pages"),
        ('start "a', errno.EINVAL, "No closing quotation"),
        ("stop nobody", errno.ESRCH, "no task nobody"),
        ("stop 4242", errno.ESRCH, "no task 4242"),
        ("read", errno.EINVAL, "usage: read SIZE"),
        ("read 1M 2M", errno.EINVAL, "usage: read SIZE"),
        ("read 1M files=x", errno.EINVAL, "a whole number"),
        ("slab no-such-cache 5", errno.ENOENT, "no cache no-such-cache"),
        ("slab dentry many", errno.EINVAL, "a whole number"),
        ("fragment keep=1.5", errno.EINVAL, "from 0 to 1"),
        ("fragment zone=Nowhere", errno.EINVAL, "the zones are DMA"),
        ("swapon 4K", errno.EINVAL, "header"),
        ("swapoff /nowhere", errno.ENOENT, "no swap area /nowhere"),
        ("oom", errno.ESRCH, "no task can be killed"),
        ("advance", errno.EINVAL, "usage: advance SECONDS"),
        ("advance -1", errno.EINVAL, "seconds are meant"),
        ("advance nan", errno.EINVAL, "seconds are meant"),
        ("save here", errno.EINVAL, "starts with /"),
        ("save /nowhere/file", errno.ENOENT, "/nowhere/file: No such file"),
        ("load /nowhere/file", errno.ENOENT, "/nowhere/file: No such file"),
        ("load /etc/passwd", errno.EINVAL, "not a saved machine"),
    ],
)
def test_a_refused_line_says_why_and_changes_nothing(tree: Tree, line: str, number: int, words: str) -> None:
    before = everything(tree)
    found, reason = refused(tree, line)

    assert (found, reason.count("\n")) == (number, 1)
    assert words in reason
    if number != errno.ENOMEM:  # looking for memory leaves its traces in the counters, as in a kernel
        assert everything(tree) == before


def test_a_refusal_stops_the_rest_and_keeps_what_came_before(tree: Tree) -> None:
    assert refused(tree, "start a anon=1M\nstop b\nstart c anon=1M")[0] == errno.ESRCH
    assert [task.name for task in tree.machine.tasks.values()] == ["a"]


def test_blank_lines_and_comments_leave_the_answer(tree: Tree) -> None:
    pid = ctl(tree, "start a anon=1M", "", "  # that was it", "")
    assert pid.strip().isdigit()


def test_several_tasks_of_one_name_are_told_apart_by_pid(tree: Tree) -> None:
    ctl(tree, "start a anon=1M", "start a anon=1M")
    assert refused(tree, "stop a")[0] == errno.EINVAL


def test_what_is_no_text_is_refused(tree: Tree) -> None:
    with pytest.raises(OSError, match="UTF-8"):
        tree.write(CTL, b"start \xff\n")
    assert tree.read(CTL) == "a control line is text in UTF-8\n"
