"""What the files of a task say together, and with the machine's own files."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from tests.small_machine import small_machine
from tests.views.test_pid import NODE_PAGES, mappings
from vmfs.kernel import Arch
from vmfs.mm import mmap, pgtable
from vmfs.mm.check import check
from vmfs.mm.machine import Machine
from vmfs.mm.tasks import Task
from vmfs.tree import Tree


@pytest.fixture
def machine() -> Machine:
    """Of 2 GiB, with more on it than that, so that there is swap."""
    machine = small_machine((6, 12))
    machine.swapon(1 << 19, "/swap")
    machine.set_nr_hugepages(machine.default_hstate, 20)
    return machine


def busy(machine: Machine) -> list[Task]:
    return [
        machine.start("db", anon=200_000, file=5000, shmem=30_000, huge=5, nid=1, uid=1000),
        machine.start("rt", anon=1000, file=500, mlock=True),
        machine.start("java", anon=60_000, thp=True, policy="interleave"),
        machine.start("hog", anon=300_000, policy="preferred", nid=1),
        machine.start("tiny", anon=5),
    ]


def kilobytes(text: str, label: str) -> int:
    return sum(int(n) for n in re.findall(rf"^{label}:\s+(\d+) kB$", text, re.MULTILINE))


SUMS = {
    "VmRSS": "Rss",
    "RssAnon": "Anonymous",
    "VmSwap": "Swap",
    "VmSize": "Size",
    "HugetlbPages": "Private_Hugetlb",
}


def test_files_of_a_task_tell_the_same(machine: Machine) -> None:
    tree = Tree(machine)
    tasks = busy(machine)

    assert any(task.swap for task in tasks)
    for task in tasks:
        status, smaps, rollup, numa = (
            tree.read(f"/proc/{task.pid}/{file}") for file in ("status", "smaps", "smaps_rollup", "numa_maps")
        )
        for label, summed in SUMS.items():
            assert kilobytes(status, label) == kilobytes(smaps, summed), (task.name, label)
        for label in set(SUMS.values()) - {"Size"} | {"Locked", "AnonHugePages", "Pss_Dirty"}:
            assert kilobytes(rollup, label) == kilobytes(smaps, label), (task.name, label)
        pages = dict.fromkeys(("0", "1"), 0)
        for line in numa.splitlines():
            for nid, count in NODE_PAGES.findall(line):
                pages[nid] += int(count) * (512 if " huge " in line else 1)
        assert sum(pages.values()) * 4 == kilobytes(status, "VmRSS") + kilobytes(status, "HugetlbPages")


def test_sums_of_tasks_are_the_counters_of_the_machine(machine: Machine) -> None:
    tree = Tree(machine)
    tasks = busy(machine)
    meminfo = tree.read("/proc/meminfo")

    def total(file: str, label: str) -> int:
        return sum(kilobytes(tree.read(f"/proc/{task.pid}/{file}"), label) for task in tasks)

    assert total("status", "RssAnon") == kilobytes(meminfo, "AnonPages")
    assert total("status", "RssFile") + total("status", "RssShmem") == kilobytes(meminfo, "Mapped")
    assert total("smaps", "AnonHugePages") == kilobytes(meminfo, "AnonHugePages")
    assert total("smaps", "Locked") == total("status", "VmLck") == kilobytes(meminfo, "Mlocked")
    assert total("status", "VmPTE") == kilobytes(meminfo, "PageTables")
    assert kilobytes(meminfo, "KernelStack") == 16 * len(tasks)


def test_commitments_are_the_mappings_that_count(machine: Machine) -> None:
    tree = Tree(machine)
    tasks = busy(machine)
    committed = 0
    for task in tasks:
        for _, what, found in mappings(tree.read(f"/proc/{task.pid}/smaps")):
            shared = what.startswith("rw-s")
            committed += int(found["Size"].split()[0]) if shared or " ac " in found["VmFlags"] else 0

    assert kilobytes(tree.read("/proc/meminfo"), "Committed_AS") == committed


def test_everything_goes_with_the_task(machine: Machine) -> None:
    before = Tree(machine).read("/proc/meminfo")
    for task in busy(machine):
        if task.pid in machine.tasks:
            machine.stop(task)
    after = Tree(machine).read("/proc/meminfo")

    for label in ("AnonPages", "PageTables", "KernelStack", "Committed_AS", "Mlocked", "Shmem", "Mapped"):
        assert kilobytes(after, label) == kilobytes(before, label), label
    check(machine)


def test_the_most_that_was_resident_is_kept(machine: Machine) -> None:
    tree = Tree(machine)
    task = machine.start("db", anon=200_000)
    machine.stop(machine.start("hog", anon=450_000))
    status = tree.read(f"/proc/{task.pid}/status")

    assert task.swap > 0
    assert kilobytes(status, "VmHWM") == 800_000
    assert kilobytes(status, "VmRSS") == 800_000 - kilobytes(status, "VmSwap")


def test_a_growing_mapping_needs_the_tables_of_one_mapped_at_once(machine: Machine) -> None:
    growing = machine.start("leak", anon=1000, grow=3000.0)
    machine.tick(60)

    assert growing.anon == 181_000
    assert growing.tables == pgtable.of_task(machine, growing)
    check(machine)


@pytest.mark.parametrize("release", [(5, 10), (6, 1), (6, 12), (7, 2)])
def test_addresses_follow_from_seed_and_pid_and_do_not_overlap(release: tuple[int, int]) -> None:
    texts = []
    for _ in range(2):
        machine = small_machine(release)
        machine.set_nr_hugepages(machine.default_hstate, 10)
        task = machine.start("db", anon=20_000, file=3000, shmem=300, huge=3)
        texts.append(Tree(machine).read(f"/proc/{task.pid}/maps"))
    found = mmap.vmas(machine, task)

    assert texts[0] == texts[1]
    assert all(one.end <= other.start for one, other in pairwise(found))
    assert len({mmap.layout(machine, Task(pid, "x", 0)) for pid in range(100)}) == 100


def test_32_bit_addresses() -> None:
    machine = small_machine((6, 1), Arch.I386)
    task = machine.start("db", anon=20_000, file=3000, shmem=300)
    found = mmap.vmas(machine, task)

    assert found[0].start == 0x8048000
    assert found[-1].end <= 0xC0000000
    assert all(one.end <= other.start for one, other in pairwise(found))


def test_numa_policies_are_named(machine: Machine) -> None:
    tree = Tree(machine)

    def policy(**how: object) -> str:
        task = machine.start("x", anon=10, **how)
        return tree.read(f"/proc/{task.pid}/numa_maps").split()[1]

    assert policy() == "default"
    assert policy(policy="bind", nid=1) == "bind:1"
    assert policy(policy="preferred", nid=1) == "prefer:1"
    assert policy(policy="interleave") == "interleave:0-1"
