"""Mapped files: how many faults bring them in, and how they come back after reclaim took them."""

import pytest

from tests.small_machine import NODE_PAGES, small_machine
from vmfs.mm.check import check
from vmfs.mm.vmstat import Item

RELEASES = ((5, 10), (6, 1), (6, 12), (7, 2))
FILE = NODE_PAGES // 8


def test_a_file_that_is_touched_in_its_order_is_read_ahead():
    machine = small_machine(nodes=1)
    cached = machine.vfs.trees.pages
    machine.start("reader", file=16_384)

    # As a recorded kernel counts it for a file of 64 MiB: 1 and 1,537.
    assert machine.event(Item.PGMAJFAULT) == 1
    assert machine.event(Item.PGFAULT) == 16_384 // 16 + 16_384 // 32 + 1
    assert machine.event(Item.PGPGIN) == 64 << 10
    assert machine.vfs.trees.pages - cached == 16_384


def thrashing(release=(6, 1), touch=FILE):
    """A task that uses its file, which reclaim has taken for the most part for another task."""
    machine = small_machine(release, nodes=1)
    machine.swapon(NODE_PAGES, "/swap")
    task = machine.start("reader", file=FILE, touch=touch)
    machine.start("hog", anon=NODE_PAGES)
    assert task.lost > FILE // 2
    return machine, task


@pytest.mark.parametrize("release", RELEASES)
def test_what_is_used_again_is_read_with_what_is_around_it(release):
    machine, task = thrashing(release)
    lost, read = task.lost, machine.event(Item.PGPGIN)
    swapped = machine.event(Item.PSWPIN)
    machine.tick(1)

    back = machine.global_page_state(Item.WORKINGSET_REFAULT_FILE)
    assert lost * 0.9 < back <= lost
    assert machine.event(Item.PGPGIN) - read == (back + machine.event(Item.PSWPIN) - swapped) * 4
    assert machine.event(Item.PGMAJFAULT) - 1 == -(-back // 21)  # the first page of all came before
    assert machine.global_page_state(Item.WORKINGSET_ACTIVATE_FILE) == back
    assert task.file + task.lost == FILE
    check(machine)


def test_a_file_in_use_pushes_out_what_is_idle():
    machine, task = thrashing()
    for _ in range(20):
        machine.tick(1)
        check(machine)

    assert task.lost < FILE // 100
    assert machine.global_page_state(Item.NR_MAPPED) >= FILE * 0.99


def test_a_file_that_nobody_uses_stays_out():
    machine, task = thrashing(touch=0.0)
    lost = task.lost
    machine.tick(20)

    assert task.lost == lost
    assert machine.global_page_state(Item.WORKINGSET_REFAULT_FILE) == 0


def test_a_slow_user_brings_it_back_at_last_to_the_page():
    machine, task = thrashing(touch=FILE / 10_000)
    lost = task.lost
    machine.tick(100)

    assert lost - task.lost == pytest.approx(lost * 100 * 21 / 10_000, rel=0.2)
    check(machine)


def test_waiting_for_what_was_in_use_is_pressure_on_memory():
    machine, task = thrashing(touch=FILE)
    machine.tick(3)
    before = [machine.psi.stalls[what, "some"].total for what in ("memory", "io")]
    restored = machine.global_page_state(Item.WORKINGSET_RESTORE_FILE)
    machine.reclaim_node(0, FILE // 4, swappiness=0)
    assert task.lost > 1000
    machine.tick(3)

    memory, io = (machine.psi.stalls[what, "some"].total for what in ("memory", "io"))
    assert machine.global_page_state(Item.WORKINGSET_RESTORE_FILE) > restored
    assert memory > before[0]
    assert io > before[1]


def test_dropped_caches_know_no_refaults():
    machine, task = thrashing()
    machine.stop(machine.tasks[task.pid + 1])
    machine.drop_caches(1)
    machine.tick(2)

    assert task.lost == 0
    assert machine.global_page_state(Item.WORKINGSET_REFAULT_FILE) == 0


def test_where_there_is_no_room_for_the_file_its_reader_may_be_killed():
    machine = small_machine(nodes=1)
    task = machine.start("reader", file=FILE, touch=FILE, oom_score_adj=1000)
    machine.start("hog", anon=NODE_PAGES * 3 // 4)
    machine.set_sysctl("min_free_kbytes", NODE_PAGES * 2)
    machine.tick(3)

    assert machine.event(Item.OOM_KILL) >= 1
    assert task.pid not in machine.tasks
    check(machine)
