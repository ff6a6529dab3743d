"""What tasks map shows in every counter, and goes again with them."""

import pytest

from vmfs import boot, spec
from vmfs.mm.alloc_request import OutOfMemory
from vmfs.mm.check import check
from vmfs.mm.hugetlbfs import NoHugePages
from vmfs.mm.machine import Machine
from vmfs.mm.vmstat import Item

COUNTERS = (
    Item.NR_ANON_PAGES,
    Item.NR_FILE_PAGES,
    Item.NR_MAPPED,
    Item.NR_SHMEM,
    Item.NR_MLOCK,
    Item.NR_UNEVICTABLE,
    Item.NR_ANON_TRANSPARENT_HUGEPAGES,
    Item.NR_PAGE_TABLE_PAGES,
    Item.NR_KERNEL_STACK,
)


@pytest.fixture
def machine():
    return Machine.from_snapshot(boot.boot(spec.load("article")))


def counts(machine):
    return {item.text: machine.global_page_state(item) for item in COUNTERS} | {"as": machine.committed_as}


def moved(before, machine):
    return {name: n - before[name] for name, n in counts(machine).items() if n != before[name]}


def test_each_kind_of_memory_is_counted_as_what_it_is(machine):
    before = counts(machine)
    task = machine.start("db", anon=1000, file=200, shmem=30)

    change = moved(before, machine)
    assert task.rss == 1230
    assert change["nr_anon_pages"] == 1000
    assert change["nr_file_pages"] == 230
    assert change["nr_shmem"] == 30
    assert change["nr_mapped"] == 230
    assert change["as"] == 1030 + 4 + 3 + 63 + 34 + 33  # and the program's own data, heap and stack
    assert change["nr_kernel_stack"] == 16
    check(machine)


def test_an_exit_leaves_only_the_page_cache(machine):
    before = counts(machine)
    machine.stop(machine.start("db", anon=5000, file=200, shmem=30, thp=True))

    assert moved(before, machine) == {"nr_file_pages": 200}
    check(machine)


def test_locked_memory_is_unevictable_and_never_reclaimed(machine):
    locked = machine.start("rt", anon=1000, mlock=True)
    machine.swapon(1 << 20, "/swap")
    machine.stop(machine.start("hog", anon=machine.totalram_pages))

    assert locked.rss == 1000
    assert machine.global_page_state(Item.NR_MLOCK) == 1000
    assert machine.global_page_state(Item.NR_UNEVICTABLE) == 1000
    machine.stop(locked)
    kinds = ("MLOCKED", "CULLED", "MUNLOCKED", "RESCUED")
    assert [machine.event(Item[f"UNEVICTABLE_PGS_{kind}"]) for kind in kinds] == [1000] * 4


def test_huge_pages_come_from_the_pool(machine):
    machine.set_nr_hugepages(machine.default_hstate, 10)
    task = machine.start("vm", huge=7)

    assert machine.default_hstate.free_huge_pages == 3
    machine.stop(task)
    assert machine.default_hstate.free_huge_pages == 10


def test_huge_pages_follow_the_policy(machine):
    hstate = machine.default_hstate
    machine.set_nr_hugepages(hstate, 20)
    free = [hstate.free_huge_pages_node(nid) for nid in (0, 1)]
    machine.start("vm", huge=7, policy="interleave")
    assert [hstate.free_huge_pages_node(nid) for nid in (0, 1)] == [free[0] - 4, free[1] - 3]
    machine.start("bound", huge=7, nid=1, policy="bind")
    assert hstate.free_huge_pages_node(1) == free[1] - 10
    with pytest.raises(NoHugePages):
        machine.start("late", huge=1, nid=1, policy="bind")


def test_a_pool_too_small_refuses_the_task(machine):
    before = counts(machine)
    with pytest.raises(NoHugePages):
        machine.start("vm", huge=1, anon=100)

    assert machine.tasks == {}
    assert moved(before, machine) == {}
    check(machine)


def test_transparent_huge_pages_are_counted_and_split_by_swap(machine):
    machine.swapon(1 << 20, "/swap")
    task = machine.start("java", anon=10_000, thp=True)
    assert machine.global_page_state(Item.NR_ANON_TRANSPARENT_HUGEPAGES) == 10_000 // 512 * 512

    machine.stop(machine.start("hog", anon=machine.totalram_pages + 10_000))
    assert machine.global_page_state(Item.NR_ANON_TRANSPARENT_HUGEPAGES) <= task.anon
    check(machine)


@pytest.mark.parametrize(("policy", "first", "second"), [("bind", 0, 4000), ("interleave", 2000, 2000)])
def test_a_policy_says_which_node_gives_the_pages(machine, policy, first, second):
    before = [node.page_state(Item.NR_ANON_PAGES) for node in machine.nodes]
    machine.start("task", anon=4000, nid=1, policy=policy)

    after = [node.page_state(Item.NR_ANON_PAGES) for node in machine.nodes]
    assert [b - a for a, b in zip(before, after, strict=True)] == [first, second]


def test_a_local_task_spills_to_the_other_node_and_a_bound_one_does_not(machine):
    most = machine.nodes[1].managed_pages
    spilled = machine.start("local", anon=most, nid=1)
    foreign = sum(zone.page_state(Item.NUMA_FOREIGN) for zone in machine.nodes[1].zones)
    machine.stop(spilled)

    assert spilled.memory.anon == most
    assert foreign > 0
    with pytest.raises(OutOfMemory):
        machine.start("bound", anon=most, nid=1, policy="bind")
    check(machine)


def test_memory_grows_with_time(machine):
    task = machine.start("leak", anon=100, grow=2.5)
    machine.tick(3)
    machine.tick(1)

    assert task.anon == 110


def test_a_leak_ends_in_the_oom_killer(machine):
    machine.start("leak", anon=100, grow=1_000_000.0)
    machine.tick(10)

    assert machine.tasks == {}
    assert machine.event(Item.OOM_KILL) == 1
    check(machine)


def test_strict_overcommit_refuses_before_anything_is_touched(machine):
    machine.set_sysctl("overcommit_memory", 2)
    before = counts(machine)
    with pytest.raises(OutOfMemory):
        machine.start("greedy", anon=machine.totalram_pages)

    assert moved(before, machine) == {}


def test_swapped_pages_come_back_as_what_they_were(machine):
    machine.swapon(1 << 21, "/swap")
    task = machine.start("db", anon=100_000, shmem=5000)
    machine.stop(machine.start("hog", anon=machine.totalram_pages + 50_000))
    assert task.swap > 0

    machine.swapoff("/swap")
    assert (task.anon, task.shmem, task.swap) == (100_000, 5000, 0)
    check(machine)
