"""Tasks that use their memory again, with more in use than fits."""

import math

import pytest

from tests.small_machine import NODE_PAGES, small_machine
from vmfs import control
from vmfs.mm import rmap, state, swap_state
from vmfs.mm.check import check
from vmfs.mm.vmstat import Item
from vmfs.tree import Tree

RELEASES = ((5, 10), (6, 1), (6, 12), (7, 2))
HALF = NODE_PAGES // 2


def crowded(release=(6, 1), nodes=1, **memory):
    """Two tasks, each of more than half of a node, the first of which uses its memory again."""
    machine = small_machine(release, nodes=nodes)
    machine.swapon(NODE_PAGES, "/swap")
    first = machine.start("first", anon=HALF, **memory)
    second = machine.start("second", anon=HALF + HALF // 4)
    assert first.swap > HALF // 8
    return machine, first, second


@pytest.mark.parametrize("release", RELEASES)
def test_what_is_used_again_comes_back_from_swap(release):
    machine, task, other = crowded(release, touch=HALF / 100)
    swap, anon, total = task.swap, task.anon, task.swap + other.swap
    cached, faults = swap_state.cached_of(machine, task), machine.event(Item.PGFAULT)
    assert cached > 0
    written = machine.event(Item.PSWPOUT)
    machine.tick(1)

    met, read = int(swap * -math.expm1(-HALF / 100 / HALF)), machine.event(Item.PSWPIN)
    assert read == met - met * cached // swap  # what is in the swap cache yet is only mapped
    assert machine.event(Item.PGMAJFAULT) == read
    assert machine.event(Item.PGFAULT) - faults == met
    assert task.anon + task.swap == anon + swap == HALF
    assert task.swap + other.swap - total == machine.event(Item.PSWPOUT) - written - met
    check(machine)


@pytest.mark.parametrize("release", RELEASES)
def test_pages_that_nobody_uses_make_room_until_nothing_is_missing(release):
    machine, task, other = crowded(release, touch=HALF / 4)
    for _ in range(30):
        machine.tick(1)
        check(machine)
    read = machine.event(Item.PSWPIN)
    machine.tick(10)

    assert task.swap < HALF // 1000
    assert other.swap > HALF // 8
    assert machine.event(Item.PSWPIN) - read < read // 100


def test_what_is_used_again_outlives_what_is_idle():
    lost = []
    for touch in (0.0, HALF / 20, HALF):
        machine = small_machine(nodes=1)
        machine.swapon(NODE_PAGES, "/swap")
        task, _ = (machine.start("task", anon=HALF // 2, touch=rate) for rate in (touch, 0.0))
        look_at_all(machine)
        machine.tick(5)
        looked, written = machine.global_page_state(Item.PGSCAN_ANON), machine.event(Item.PSWPOUT)
        freed = machine.reclaim_node(0, HALF // 2)
        lost.append(task.swap)
        looked, written = (
            machine.global_page_state(Item.PGSCAN_ANON) - looked,
            machine.event(Item.PSWPOUT) - written,
        )
        kept = looked - freed - written
        assert kept == pytest.approx(HALF // 2 * -math.expm1(-touch * 5 / (HALF // 2)), abs=100)
        check(machine)

    assert lost == sorted(lost, reverse=True)
    assert lost[0] > HALF // 2 - 100
    assert lost[2] < HALF // 100


def look_at_all(machine):
    """As reclaim does, but for freeing any."""
    for zone in machine.nodes[0].zones:
        for batch in (batch for queue in zone.lru.lists for batch in queue):
            rmap.clear_accessed(machine, batch)


def test_the_first_look_finds_every_page_used_and_frees_none():
    machine = small_machine(nodes=1)
    machine.swapon(NODE_PAGES, "/swap")
    task = machine.start("task", anon=HALF)
    inactive = machine.global_page_state(Item.NR_INACTIVE_ANON)
    freed = machine.reclaim_node(0, 1000)

    written = machine.event(Item.PSWPOUT)
    assert freed == machine.global_page_state(Item.PGSTEAL_ANON) >= 1000
    assert machine.global_page_state(Item.PGSCAN_ANON) == HALF + freed + written
    assert machine.event(Item.PGACTIVATE) == 0
    assert machine.global_page_state(Item.NR_INACTIVE_ANON) == inactive - freed
    assert task.swap == written


def test_two_that_use_all_of_it_swap_forever():
    machine, task, _ = crowded(touch=HALF / 4)
    machine.start("rival", anon=HALF // 2, touch=HALF / 4)
    rates = []
    for _ in range(20):
        before = machine.event(Item.PSWPIN)
        machine.tick(1)
        rates.append(machine.event(Item.PSWPIN) - before)

    assert task.touched < 1
    assert min(rates[10:]) > 0
    check(machine)


def test_a_refault_is_activated_when_less_is_gone_than_is_in_use():
    machine, task, other = crowded(touch=HALF / 10)
    machine.tick(1)
    gone = machine.global_page_state(Item.WORKINGSET_REFAULT_ANON)
    assert gone == machine.event(Item.PSWPIN)
    first = machine.global_page_state(Item.WORKINGSET_ACTIVATE_ANON)
    assert first < gone // 20  # almost no page is active

    machine.stop(other)
    machine.read_files(task.swap * 2, 100)
    machine.tick(1)
    activated = machine.global_page_state(Item.WORKINGSET_ACTIVATE_ANON)
    assert first < activated <= first + machine.global_page_state(Item.WORKINGSET_REFAULT_ANON) - gone
    assert machine.global_page_state(Item.NR_ACTIVE_ANON) > 0
    check(machine)


def test_nothing_is_due_while_nothing_is_swapped_out():
    machine = small_machine(nodes=1)
    machine.start("task", anon=1000, touch=1000.0)
    machine.tick(10)

    assert machine.event(Item.PSWPIN) == 0
    assert machine.event(Item.PGMAJFAULT) == 0


def full():
    """Two tasks that fill memory and nearly all of swap, and swap for ever."""
    machine = small_machine(nodes=1)
    machine.swapon(HALF, "/swap")
    tasks = [machine.start("first", anon=NODE_PAGES, touch=NODE_PAGES / 4)]
    tasks.append(machine.start("second", anon=HALF - 4000, touch=NODE_PAGES / 4))
    return machine, tasks


def test_what_is_read_from_swap_makes_room_there():
    machine, tasks = full()
    for _ in range(5):
        machine.tick(1)
        check(machine)

    assert machine.event(Item.OOM_KILL) == 0
    assert machine.event(Item.PSWPIN) > HALF // 2
    assert sum(task.anon + task.swap for task in tasks) == NODE_PAGES + HALF - 4000


def test_where_there_is_no_room_the_oom_killer_makes_some():
    machine, (_, second) = full()
    machine.set_sysctl("min_free_kbytes", NODE_PAGES)  # a quarter of memory is not to be used any more
    machine.tick(1)

    assert machine.event(Item.OOM_KILL) == 1
    assert list(machine.tasks.values()) == [second]
    assert "Killed process" in Tree(machine).read("/dev/kmsg")
    check(machine)
    read = machine.event(Item.PSWPIN)
    machine.tick(5)
    assert machine.event(Item.PSWPIN) > read
    assert second.anon + second.swap == HALF - 4000


@pytest.mark.parametrize("cut", [[4.0], [0.5] * 8, [3.3, 0.7]])
def test_it_is_the_same_however_time_was_cut(cut):
    machine, *_ = crowded(touch=77.7)
    whole = state.load(machine.save())
    whole.tick(4.0)
    for seconds in cut:
        machine.tick(seconds)

    assert Tree(machine).read("/proc/vmstat") == Tree(whole).read("/proc/vmstat")


def test_the_control_line_takes_bytes_a_second():
    tree = Tree(small_machine())
    control.run(tree, "start worker anon=64M touch=6M")

    (task,) = tree.machine.tasks.values()
    assert task.memory.touch == 1536.0
    with pytest.raises(OSError, match="touch"):
        control.run(tree, "start worker anon=64M touch=fast")
