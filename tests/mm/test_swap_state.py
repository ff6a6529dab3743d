"""The swap cache: pages that are swapped out and not freed yet."""

import pytest

from tests.small_machine import NODE_PAGES, small_machine
from vmfs.mm.check import check
from vmfs.mm.swap_state import total_swapcache_pages
from vmfs.mm.vmstat import Item
from vmfs.tree import Tree

RELEASES = ((5, 10), (6, 1), (6, 12), (7, 2))


def swapping(release):
    machine = small_machine(release, nodes=1)
    machine.swapon(NODE_PAGES, "/swap")
    task = machine.start("hog", anon=NODE_PAGES + NODE_PAGES // 4)
    return machine, task


@pytest.mark.parametrize("release", RELEASES)
def test_what_reclaim_wrote_last_is_still_in_memory(release):
    machine, task = swapping(release)

    cached = total_swapcache_pages(machine)
    assert 0 < cached < NODE_PAGES // 8
    assert task.swap + task.anon == NODE_PAGES + NODE_PAGES // 4
    assert f"SwapCached:     {cached * 4:8} kB\n" in Tree(machine).read("/proc/meminfo")
    check(machine)


def test_it_is_page_cache_of_no_file():
    machine, _ = swapping((6, 1))
    file = machine.global_page_state(Item.NR_FILE_PAGES)
    listed = machine.global_page_state(Item.NR_INACTIVE_FILE) + machine.global_page_state(Item.NR_ACTIVE_FILE)

    assert file == listed + machine.global_page_state(Item.NR_SWAPCACHED)
    assert machine.global_page_state(Item.NR_SWAPCACHED) > 0


def test_it_is_freed_first_and_without_another_write():
    machine, _ = swapping((6, 1))
    written, cached = machine.event(Item.PSWPOUT), total_swapcache_pages(machine)
    stolen = machine.global_page_state(Item.PGSTEAL_ANON)
    machine.reclaim_node(0, 1000)

    assert machine.global_page_state(Item.PGSTEAL_ANON) == stolen + 1000
    assert machine.event(Item.PSWPOUT) - written == total_swapcache_pages(machine) - (cached - 1000)
    check(machine)


def test_it_goes_with_its_owner():
    machine, task = swapping((6, 1))
    machine.stop(task)

    assert total_swapcache_pages(machine) == 0
    assert machine.swap_areas[0].used == 0
    check(machine)


def test_swapoff_leaves_none():
    machine, task = swapping((6, 1))
    machine.swapon(NODE_PAGES, "/other")
    machine.swapoff("/swap")

    assert task.swap + task.anon == NODE_PAGES + NODE_PAGES // 4
    check(machine)


def test_a_process_shows_what_is_in_memory():
    machine, task = swapping((6, 1))
    smaps = Tree(machine).read(f"/proc/{task.pid}/smaps_rollup")

    assert f"Rss:            {task.rss * 4:8} kB\n" in smaps
