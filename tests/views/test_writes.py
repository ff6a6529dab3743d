"""What writable files take, refuse and change: row for row with recorded kernels, then rule by rule."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from tests import recordings
from tests.small_machine import small_machine
from vmfs import capture
from vmfs.kernel import RELEASES, Arch, Kernel
from vmfs.tree import Leaf, Tree

VM = "/proc/sys/vm/"
MM = "/sys/kernel/mm/"
NAMES = recordings.names()
WRITTEN = [name for name in NAMES if recordings.writes_table(recordings.load(name))]
KERNELS = [(release, Arch.X86_64) for release in RELEASES] + [((6, 1), Arch.I386)]


def answer(tree: Tree, path: str, data: bytes, offset: int = 0) -> tuple[str, int, str]:
    """The error of open(2), what write(2) returned, its error."""
    try:
        handle = tree.open(path, os.O_WRONLY)
    except OSError as error:
        return errno.errorcode[error.errno], -1, ""
    try:
        return "", handle.write(data, offset), ""
    except OSError as error:
        return "", -1, errno.errorcode[error.errno]


def content(tree: Tree, path: str) -> str | None:
    try:
        return tree.read(path)
    except OSError:
        return None


def last_step(name: str) -> Tree:
    machine, _ = capture.load(recordings.steps(recordings.load(name))[-1])
    return Tree(machine)


def outran_memory(row: recordings.WriteRow) -> bool:
    """The recorded machine had less memory than the huge pages asked for: 4 rows of some."""
    return (
        "nr_hugepages" in row.write.path
        and row.write.payload in {b"1000", b"1001"}
        and row.after != f"{row.write.payload.decode()}\n"
    )


def differences(tree: Tree, name: str) -> list[str]:
    """The rows of the recorder's table, written one after another, each undone as the recorder did."""
    wrong = []
    for row in recordings.writes_table(recordings.load(name)):
        path, payload = row.write.path, row.write.payload
        expected = (row.before, (row.write.open_error, row.write.ret, row.write.error), row.after)
        found = (content(tree, path), answer(tree, path, payload), content(tree, path))
        if outran_memory(row):
            # How many pages a full machine yields hangs on what the recorder itself held just then.
            assert 0 < int(found[2]) < int(payload)
            found, expected = found[:2], expected[:2]
        if found != expected:
            wrong.append(f"line {row.line}: {path} {payload!r}: {found}, recorded {expected}")
        if row.after != row.before and row.before is not None:
            answer(tree, path, row.before.encode())
    return wrong


@pytest.mark.parametrize("name", WRITTEN)
def test_every_recorded_write(name):
    assert differences(last_step(name), name) == []


PWRITES = {"pwrite_offset1": (b"5", 1), "pwrite_offset3": (b"7", 3)}


def sequence(tree: Tree, path: str, call: str) -> tuple[str, ...]:
    """A pwrite(2), or two writes on one descriptor: the second goes on where the first ended."""
    if call in PWRITES:
        found = [answer(tree, path, *PWRITES[call])]
    else:
        first = answer(tree, path, b"1")
        found = [first, answer(tree, path, b"0\n", max(first[1], 0))]
    after = tree.read(path).replace("\n", "\\n").replace("\t", "\\t")
    returned, errors = zip(*((str(ret), error or "0") for _, ret, error in found), strict=True)
    return f"ret={','.join(returned)}", f"err={','.join(errors)}", f"after={after}"


@pytest.mark.parametrize("name", NAMES)
def test_every_recorded_sequence(name):
    tree = last_step(name)
    differences(tree, name)  # the recorder ran its table first
    for row in recordings.syscalls_table(recordings.load(name), "sequences"):
        before = tree.read(row.path)
        assert sequence(tree, row.path, row.call) == row.answer, f"line {row.line}: {row.path} {row.call}"
        answer(tree, row.path, before.encode())


@pytest.fixture(params=KERNELS, ids=lambda k: f"{k[0][0]}.{k[0][1]}-{k[1].value}")
def every_kernel(request) -> Tree:
    return Tree(small_machine(*request.param))


def writable(tree: Tree, top: str) -> list[Leaf]:
    return [leaf for leaf in tree.walk(top) if isinstance(leaf, Leaf) and leaf.file.write]


@pytest.mark.parametrize("top", ["/proc/sys", "/sys/kernel/mm"])
def test_loading_what_a_file_shows_changes_nothing(every_kernel, top):
    for leaf in writable(every_kernel, top):
        if leaf.file.load and leaf.file.read:
            shown = leaf.file.read(leaf.subject)
            leaf.file.load(leaf.subject, shown)
            assert leaf.file.read(leaf.subject) == shown, leaf.path


# What boot leaves and no write reaches: limits that are off, identifiers not asked for, the only
# value of a lock, overcommit of pages that are too large for it, weights that follow the hardware.
UNREACHABLE = ("_bytes", "_next_id", "_disabled", "_to_panic", "_limit_panic", "_limit_reboot", "leave/auto")


def reachable(leaf: Leaf) -> bool:
    return not leaf.path.endswith(UNREACHABLE) and "1048576kB/nr_overcommit" not in leaf.path


@pytest.mark.parametrize("top", ["/proc/sys", "/sys/kernel/mm"])
def test_writing_back_what_a_file_shows_changes_nothing(every_kernel, top):
    for leaf in filter(reachable, writable(every_kernel, top)):
        shown = content(every_kernel, leaf.path)
        if shown and "[" not in shown and leaf.mode & 0o200:
            assert answer(every_kernel, leaf.path, shown.encode()) == ("", len(shown), ""), leaf.path
            assert content(every_kernel, leaf.path) == shown, leaf.path


@pytest.mark.parametrize("name", NAMES)
def test_writable_files_and_their_modes_are_the_kernels(name):
    recording = recordings.load(name)
    version = (recordings.steps(recording)[0] / "proc/version").read_text()
    arch = Arch.I386 if "-686" in version else Arch.X86_64
    release = tuple(int(n) for n in version.split()[2].split(".")[:2])
    tree = Tree(small_machine(release, arch, nodes=len(_nodes(recording))))
    ours = {
        leaf.path: leaf.mode & 0o7777
        for top in ("/proc/sys", "/sys/kernel/mm")
        for leaf in tree.walk(top)
        if isinstance(leaf, Leaf)
    }
    assert ours == _modes(recording)


def _nodes(recording: Path) -> list[Path]:
    return list((recordings.steps(recording)[0] / "sys/devices/system/node").glob("node[0-9]*")) or [
        recording
    ]


def _modes(recording: Path) -> dict[str, int]:
    words = [line.split() for line in (recording / "meta/modes.txt").read_text().splitlines()]
    return {
        path: int(mode, 8)
        for mode, *kind, path in words
        if kind[0] == "regular" and path.startswith(("/proc/sys/", MM))
    }


def test_an_ignored_write_repeats_drop_caches(monkeypatch):
    machine = small_machine()
    tree, dropped = Tree(machine), []
    monkeypatch.setattr(type(machine), "drop_caches", lambda _, bits: dropped.append(bits))
    handle = tree.open(VM + "drop_caches", os.O_WRONLY)
    assert handle.write(b"", 0) == 0
    assert dropped == []
    assert handle.write(b"1 2\n", 0) == 2
    assert handle.write(b"2\n", 2) == 2
    assert dropped == [1, 1]


@pytest.mark.parametrize(("release", "accepted"), [((6, 1), True), ((6, 12), False)])
def test_compact_memory_looks_at_the_number_since_6_12(monkeypatch, release, accepted):
    machine = small_machine(release)
    tree, runs = Tree(machine), []
    monkeypatch.setattr(type(machine), "compact_memory", lambda _: runs.append(1))
    assert answer(tree, VM + "compact_memory", b"2") == (("", 1, "") if accepted else ("", -1, "EINVAL"))
    assert len(runs) == accepted
    assert answer(tree, VM + "compact_memory", b"1") == ("", 1, "")
    assert len(runs) == accepted + 1
    assert answer(tree, VM + "compact_memory", b"5")[1] == (1 if accepted else -1)
    # The refused number was stored: an empty write finds it.
    assert answer(tree, VM + "compact_memory", b"")[1] == (0 if accepted else -1)


def test_offsets_count_unless_writes_are_lax():
    tree = Tree(small_machine())
    assert answer(tree, VM + "swappiness", b"10", offset=3) == ("", 2, "")
    assert tree.read(VM + "swappiness") == "60\n"
    tree.write("/proc/sys/kernel/sysctl_writes_strict", "0")
    assert answer(tree, VM + "swappiness", b"10", offset=3) == ("", 2, "")
    assert tree.read(VM + "swappiness") == "10\n"


def test_sysfs_takes_a_whole_value_at_any_offset():
    tree = Tree(small_machine())
    assert answer(tree, MM + "ksm/run", b"1", offset=9) == ("", 1, "")
    assert tree.read(MM + "ksm/run") == "1\n"
    assert answer(tree, MM + "ksm/run", b"2\n" + b"\0" * 5000) == ("", 4096, "")


@pytest.mark.parametrize(
    ("written", "value", "cleared"),
    [
        ("dirty_background_bytes", "4096", "dirty_background_ratio"),
        ("dirty_background_ratio", "10", "dirty_background_bytes"),
        ("dirty_bytes", "81920", "dirty_ratio"),
        ("dirty_ratio", "30", "dirty_bytes"),
        ("overcommit_kbytes", "0", "overcommit_ratio"),
        ("overcommit_ratio", "-3", "overcommit_kbytes"),
    ],
)
def test_pairs_clear_each_other(written, value, cleared):
    machine = small_machine()
    setattr(machine.sysctl, cleared, 5)
    Tree(machine).write(VM + written, value)
    assert getattr(machine.sysctl, cleared) == 0
    assert getattr(machine.sysctl, written) == int(value)


def test_dirty_ratio_clears_only_when_it_changes():
    tree = Tree(small_machine())
    tree.write(VM + "dirty_bytes", "81920")
    tree.write(VM + "dirty_ratio", "0")
    assert tree.read(VM + "dirty_bytes") == "81920\n"


def test_watermarks_follow_and_lose_their_boost():
    machine = small_machine(min_free_kbytes=8192)
    tree = Tree(machine)
    zone = machine.nodes[0].zones[2]
    for file, text in (("min_free_kbytes", "16384"), ("watermark_scale_factor", "100")):
        before, zone.watermark_boost = zone.watermark, 512
        tree.write(VM + file, text)
        assert zone.watermark_boost == 0
        assert zone.watermark != before
    before, zone.watermark_boost = zone.watermark, 512
    tree.write(VM + "watermark_boost_factor", "0")
    assert (zone.watermark, zone.watermark_boost) == (before, 512)


def test_a_captured_number_moves_no_watermark():
    machine = small_machine(min_free_kbytes=8192)
    before = machine.nodes[0].zones[2].watermark
    leaf = Tree(machine).leaf(VM + "min_free_kbytes")
    assert leaf.file.load
    leaf.file.load(leaf.subject, "99999\n")
    assert machine.sysctl.min_free_kbytes == 99999
    assert machine.nodes[0].zones[2].watermark == before


@pytest.mark.parametrize("release", RELEASES)
def test_huge_pages_raise_min_free_kbytes_and_their_end_lowers_it_since_6_1(release):
    tree = Tree(small_machine(release, min_free_kbytes=4096))
    tree.write(MM + "transparent_hugepage/enabled", "madvise")
    assert tree.read(VM + "min_free_kbytes") == "45056\n"  # 5632 pages a zone
    tree.write(MM + "transparent_hugepage/enabled", "never")
    lowered = int(tree.read(VM + "min_free_kbytes"))
    assert lowered == 45056 if release == (5, 10) else 4096 < lowered < 6000


def test_an_administrators_number_is_kept_when_huge_pages_end():
    tree = Tree(small_machine())
    tree.write(VM + "min_free_kbytes", "20000")
    tree.write(MM + "transparent_hugepage/enabled", "always")
    assert tree.read(VM + "min_free_kbytes") == "45056\n"
    tree.write(MM + "transparent_hugepage/enabled", "never")
    assert tree.read(VM + "min_free_kbytes") == "45056\n"


@pytest.mark.parametrize(("release", "raised"), [((6, 1), False), ((7, 2), True)])
def test_shmem_policy_starts_khugepaged_since_6_12(release, raised):
    tree = Tree(small_machine(release, min_free_kbytes=4096))
    tree.write(MM + "transparent_hugepage/shmem_enabled", "always")
    assert tree.read(VM + "min_free_kbytes") == ("45056\n" if raised else "4096\n")


def test_switching_numa_stat_off_clears_the_counters():
    machine = small_machine()
    tree = Tree(machine)
    machine.nodes[0].zones[2].numa[:] = 7
    tree.write(VM + "numa_stat", "1")
    assert machine.nodes[0].zones[2].numa.sum()
    tree.write(VM + "numa_stat", "0")
    assert not machine.nodes[0].zones[2].numa.any()


def test_lru_gen_keeps_what_the_hardware_can():
    for arch, shown in ((Arch.X86_64, "0x0007\n"), (Arch.I386, "0x0003\n")):
        tree = Tree(small_machine((6, 1), arch))
        tree.write(MM + "lru_gen/enabled", "y")
        assert tree.read(MM + "lru_gen/enabled") == shown


def test_a_refused_write_changes_nothing():
    machine = small_machine()
    tree = Tree(machine)
    before = machine.save()
    for path, data in (
        (VM + "swappiness", b"201"),
        (VM + "percpu_pagelist_high_fraction", b"7"),
        (VM + "nr_hugepages", b"-1"),
        (MM + "ksm/run", b"3"),
        (MM + "transparent_hugepage/enabled", b"sometimes"),
        (MM + "hugepages/hugepages-2048kB/nr_hugepages", b"1 2"),
        (MM + "hugepages/hugepages-1048576kB/nr_overcommit_hugepages", b"1"),
    ):
        assert answer(tree, path, data) == ("", -1, "EINVAL")
    assert machine.save() == before


def test_huge_page_files_say_when_a_number_is_too_large():
    tree = Tree(small_machine())
    pool = MM + "hugepages/hugepages-2048kB/"
    for name in ("nr_hugepages", "nr_overcommit_hugepages"):
        assert answer(tree, pool + name, b"18446744073709551616") == ("", -1, "ERANGE")
    assert answer(tree, MM + "hugepages/hugepages-1048576kB/demote", b"x") == ("", -1, "EINVAL")


@pytest.mark.parametrize("text", ["2048kB", "2M", "2097152", "0x200000"])
def test_demote_size_takes_sizes(text):
    tree = Tree(small_machine())
    tree.write(MM + "hugepages/hugepages-1048576kB/demote_size", text)
    assert tree.read(MM + "hugepages/hugepages-1048576kB/demote_size") == "2048kB\n"
    assert answer(tree, MM + "hugepages/hugepages-1048576kB/demote_size", b"1G") == ("", -1, "EINVAL")


def test_weights_of_nodes():
    tree = Tree(small_machine((7, 2)))
    path = MM + "mempolicy/weighted_interleave/"
    assert tree.listdir(path.rstrip("/")) == ["auto", "node0", "node1"]
    tree.write(path + "node1", "5")
    assert [tree.read(path + name) for name in ("auto", "node0", "node1")] == ["false\n", "1\n", "5\n"]
    assert answer(tree, path + "node1", b"0") == ("", -1, "EINVAL")
    assert answer(tree, path + "auto", b"true") == ("", -1, "ENODEV")  # without a table of bandwidths
    assert answer(tree, path + "auto", b"perhaps") == ("", -1, "EINVAL")


@pytest.mark.parametrize(
    ("release", "expected"), [((6, 12), ("", -1, "EINVAL")), ((7, 2), ("", 1, ""))], ids=str
)
def test_gigantic_pages_beyond_the_pool(release, expected):
    tree = Tree(small_machine(release))
    assert answer(tree, MM + "hugepages/hugepages-1048576kB/nr_overcommit_hugepages", b"2") == expected


def test_a_capture_keeps_the_weights_of_nodes(tmp_path):
    step = tmp_path / "step"
    shutil.copytree(recordings.steps(recordings.load("quad-6.12"))[0], step)
    weight = step / "sys/kernel/mm/mempolicy/weighted_interleave/node2"
    weight.chmod(0o644)
    weight.write_text("9\n")
    machine, _ = capture.load(step)
    assert [entry.weight for entry in machine.mempolicy.weights] == [1, 1, 9, 1]


def test_taint_only_grows():
    tree = Tree(small_machine())
    tree.write("/proc/sys/kernel/tainted", "4")
    tree.write("/proc/sys/kernel/tainted", "1")
    assert tree.read("/proc/sys/kernel/tainted") == "5\n"


def test_pipe_size_is_rounded_up():
    tree = Tree(small_machine())
    tree.write("/proc/sys/fs/pipe-max-size", "70000")
    assert tree.read("/proc/sys/fs/pipe-max-size") == "131072\n"


def test_defaults_by_release():
    shown = {
        release: Tree(small_machine(release)).read(VM + "unprivileged_userfaultfd") for release in RELEASES
    }
    assert shown == {(5, 10): "1\n", (6, 1): "0\n", (6, 12): "0\n", (7, 2): "0\n"}
    assert Tree(small_machine((6, 1), Arch.I386)).read(VM + "mmap_rnd_bits") == "8\n"
    assert Kernel.of((6, 1), Arch.I386).pageblock_order == 10


@pytest.mark.parametrize(("release", "kills"), [((6, 1), [1, 0, 0]), ((6, 12), [1, 0, 2])])
def test_sysrq_letters(monkeypatch, release, kills):
    machine = small_machine(release)
    tree, killed = Tree(machine), []
    monkeypatch.setattr(type(machine), "oom", lambda _: killed.append(1))
    found = []
    for data in (b"fm\n", b"mf\n", b"_mff\n"):
        killed.clear()
        assert answer(tree, "/proc/sysrq-trigger", data) == ("", len(data), "")
        found.append(len(killed))
    assert found == kills
