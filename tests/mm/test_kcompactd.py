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


# -- of its own accord ---------------------------------------------------------------------------


def score(machine):
    return kcompactd.fragmentation_score_node(machine, machine.nodes[0])


@pytest.mark.parametrize(("release", "at_once"), [((5, 10), False), ((6, 1), True), ((7, 2), True)])
def test_it_ends_at_the_lower_mark_once_proactiveness_is_written(release, at_once):
    machine, zone = fragmented(release)
    assert score(machine) > 90
    machine.tick(1)
    assert 75 < score(machine) <= 80
    before = score(machine)
    machine.set_sysctl("compaction_proactiveness", 60)
    assert score(machine) == (40 if at_once else before)
    machine.tick(1)
    assert 39 <= score(machine) <= 40
    assert 0 < machine.event(Item.PGMIGRATE_SUCCESS) < zone.free_pages
    check(machine)

    # 40 is between the marks now.
    moved = machine.event(Item.PGMIGRATE_SUCCESS)
    machine.tick(100)
    assert machine.event(Item.PGMIGRATE_SUCCESS) == moved


@pytest.mark.parametrize(("release", "least"), [((5, 10), 5), ((6, 12), 5), ((7, 2), 0)])
def test_how_far_it_goes_where_all_is_allowed(release, least):
    machine, _ = fragmented(release)
    machine.set_sysctl("compaction_proactiveness", 100)
    machine.tick(1)
    assert least - 2 <= score(machine) <= least
    check(machine)


@pytest.mark.parametrize(("release", "counted"), [((6, 1), False), ((6, 12), True)])
def test_what_it_scans_is_the_daemons_in_newer_kernels(release, counted):
    machine, _ = fragmented(release)
    machine.set_sysctl("compaction_proactiveness", 60)
    scanned = machine.event(Item.COMPACT_MIGRATE_SCANNED)
    assert scanned > 0
    assert machine.event(Item.COMPACT_DAEMON_MIGRATE_SCANNED) == (scanned if counted else 0)


def test_where_it_does_not_help_it_waits_for_half_a_minute(monkeypatch):
    machine, _ = fragmented()
    looks = []
    monkeypatch.setattr(
        kcompactd.compaction, "compact_zone", lambda *_, **__: looks.append(machine.clock.uptime)
    )
    machine.set_sysctl("compaction_proactiveness", 60)
    for _ in range(70):
        machine.start("little", anon=1)  # or there was nothing new to look at
        machine.tick(1)
    assert sorted(set(looks)) == [0, 32, 64]


@pytest.mark.parametrize("release", [(6, 1), (6, 12)])
def test_page_blocks_of_huge_pages_are_passed_over(release):
    machine = small_machine(release, nodes=1)
    machine.set_nr_hugepages(machine.default_hstate, 500)
    machine.compact_memory()
    present, huge = machine.nodes[0].present_pages, 500 << ORDER
    assert machine.event(Item.COMPACT_MIGRATE_SCANNED) <= present - huge
