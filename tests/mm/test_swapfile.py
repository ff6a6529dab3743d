"""Swap areas: priorities, turns, and pages that do not come back."""

import pytest

from tests.small_machine import NODE_PAGES, small_machine
from vmfs.mm.alloc_request import OutOfMemory
from vmfs.mm.check import check
from vmfs.mm.vmstat import Item

AREA = 1 << 14


def machine_with(priorities, release=(6, 12), pages=AREA):
    machine = small_machine(release, nodes=1)
    for index, priority in enumerate(priorities):
        machine.swapon(pages, f"/swap{index}", priority=priority)
    return machine


def priorities(machine):
    return {area.name: area.priority for area in machine.swap_areas}


def used(machine):
    return [area.used for area in machine.swap_areas]


def fill(machine, swapped):
    """A task that needs that much more than there is."""
    return machine.start("hog", anon=machine.free_pages + swapped)


def test_areas_without_a_priority_each_get_the_next_lower_one():
    assert priorities(machine_with([None, 5, None])) == {"/swap0": -2, "/swap1": 5, "/swap2": -3}


def test_since_7_2_they_share_one():
    assert priorities(machine_with([None, 5, None], (7, 2))) == {"/swap0": -1, "/swap1": 5, "/swap2": -1}


def test_minus_one_asks_for_none():
    assert priorities(machine_with([-1])) == {"/swap0": -2}


def test_those_behind_one_that_goes_move_up():
    machine = machine_with([None, None, 0])
    machine.swapoff("/swap0")
    assert priorities(machine) == {"/swap1": -2, "/swap2": 0}
    machine.swapon(AREA, "/last")
    assert priorities(machine)["/last"] == -3


def test_the_highest_priority_is_filled_first():
    machine = machine_with([1, 2])
    fill(machine, AREA // 2)
    assert used(machine)[0] == 0
    assert used(machine)[1] > 0


def test_equal_priorities_take_turns():
    machine = machine_with([3, 3])
    fill(machine, AREA)
    first, second = used(machine)
    assert abs(first - second) <= 1
    assert first + second >= AREA


def test_an_area_comes_back_whole():
    machine = machine_with([None])
    task = fill(machine, AREA // 2)
    other = machine.start("other", anon=10)
    machine.set_sysctl("min_free_kbytes", 128)
    machine.slab_caches.clear()
    machine.swapon(2 * AREA, "/more")
    machine.swapoff("/swap0")
    assert [area.name for area in machine.swap_areas] == ["/more"]
    assert task.swap + other.swap == used(machine)[0]
    check(machine)


@pytest.mark.parametrize(("page_cluster", "ahead"), [(3, 7 / 8), (0, 0)])
def test_what_comes_back_is_a_refault_that_readahead_was_faster_with(page_cluster, ahead):
    """The recordings' step 38: as many refaults as pages, and 84 to 87 % of them read ahead."""
    machine = machine_with([None], release=(6, 1))
    machine.set_sysctl("page_cluster", page_cluster)
    task = fill(machine, AREA // 2)
    swapped = task.swap
    machine.swapon(2 * AREA, "/more")
    machine.swapoff("/swap0")

    assert machine.event(Item.PSWPIN) == swapped > 0
    assert machine.global_page_state(Item.WORKINGSET_REFAULT_ANON) == machine.event(Item.PSWPIN)
    assert machine.event(Item.SWAP_RA) == machine.event(Item.SWAP_RA_HIT)
    assert machine.event(Item.SWAP_RA) == pytest.approx(machine.event(Item.PSWPIN) * ahead, abs=64)


def test_what_does_not_fit_leaves_the_area_where_it_was():
    machine = machine_with([None, None], pages=NODE_PAGES)
    fill(machine, NODE_PAGES + NODE_PAGES // 2)
    with pytest.raises(OutOfMemory):
        machine.swapoff("/swap0")

    assert list(priorities(machine)) == ["/swap0", "/swap1"]
    assert used(machine)[0] > 0
    check(machine)
