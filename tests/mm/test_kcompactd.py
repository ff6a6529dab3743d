"""kcompactd, as kswapd wakes it."""

import pytest

from tests.small_machine import small_machine
from vmfs.mm import kcompactd, wmark
from vmfs.mm.check import check
from vmfs.mm.vmstat import Item

ORDER = 9


def fragmented(release=(6, 1)):
    """Memory full of small tasks, every second of which has ended: no hole is as large as a block."""
    machine = small_machine(release, nodes=1)
    (zone,) = [zone for zone in machine.nodes[0].zones if zone.managed_pages]
    tasks = []
    while zone.free_pages > 5000:
        tasks.append(machine.start("small", anon=300))
    for task in tasks[::2]:
        machine.stop(task)
    return machine, zone


def wake(machine, order=ORDER):
    kcompactd.wakeup_kcompactd(machine, machine.nodes[0], order, machine.zone_index("Movable"))
    check(machine)
    return machine.event(Item.COMPACT_DAEMON_WAKE)


@pytest.mark.parametrize("release", [(5, 10), (6, 1), (6, 12), (7, 2)])
def test_it_makes_the_blocks_that_are_missing(release):
    machine, zone = fragmented(release)
    machine.set_nr_hugepages(
        machine.default_hstate,
        sum(zone.free_area.nr_free(order) << (order - ORDER) for order in (ORDER, ORDER + 1)),
    )
    free = zone.free_pages
    assert free > wmark.low_wmark_pages(zone) + (2 << ORDER)

    before = machine.event(Item.COMPACT_DAEMON_WAKE)
    assert wake(machine) == before + 1
    assert zone.free_area.has_block(ORDER, (1,))
    assert zone.free_pages == free
    assert machine.event(Item.COMPACT_DAEMON_MIGRATE_SCANNED) > 0
    assert wake(machine) == before + 1  # there is a block now


def test_single_pages_and_a_machine_with_large_blocks_need_none():
    machine = small_machine(nodes=1)
    assert wake(machine, order=0) == wake(machine) == 0


def test_where_it_fails_it_lets_ever_more_occasions_pass(monkeypatch):
    machine, zone = fragmented()
    tried = []
    monkeypatch.setattr(kcompactd, "_kcompactd_node_suitable", lambda *_: True)
    monkeypatch.setattr(kcompactd, "_compact", lambda *args, **_: tried.append(len(args[1])))
    monkeypatch.setattr(type(zone.free_area), "has_block", lambda *_: False)
    for _ in range(1 + 2 + 4 + 8):
        kcompactd.wakeup_kcompactd(machine, machine.nodes[0], ORDER, machine.zone_index("Movable"))

    assert [turn for turn, zones in enumerate(tried) if zones] == [0, 2, 6, 14]


@pytest.mark.parametrize("release", [(6, 1), (6, 12)])
def test_who_compacts_all_memory_looks_at_every_page(release):
    machine = small_machine(release, nodes=1)
    machine.compact_memory()

    scanned = machine.event(Item.COMPACT_MIGRATE_SCANNED)
    present = machine.nodes[0].present_pages
    # Newer kernels count what is free as well, with which this machine is filled.
    assert 0.9 * present < scanned <= present if release == (6, 12) else scanned < present // 2
    assert machine.event(Item.COMPACT_ISOLATED) == 0
