"""Generations of anonymous pages: the two youngest are active."""

import pytest

from tests.small_machine import NODE_PAGES, small_machine
from vmfs import boot, spec
from vmfs.mm import lru, lru_gen, vmscan
from vmfs.mm.check import check
from vmfs.mm.extents import Extents
from vmfs.mm.generations import Generations
from vmfs.mm.lru import Batch, Lru, Use
from vmfs.mm.machine import Machine
from vmfs.mm.vmstat import Item


def one_node():
    machine = small_machine((6, 12), nodes=1)
    machine.set_sysctl("min_free_kbytes", 16384)
    machine.swapon(NODE_PAGES, "/swap")
    return machine


def sizes(machine):
    return tuple(machine.global_page_state(item) for item in (Item.NR_ACTIVE_ANON, Item.NR_INACTIVE_ANON))


def test_pages_start_in_the_youngest():
    machine = one_node()
    machine.start("first", anon=NODE_PAGES // 2)

    assert sizes(machine) == (NODE_PAGES // 2, 0)


def test_all_there_is_grows_old_when_something_has_to_be():
    machine = one_node()
    machine.start("first", anon=NODE_PAGES * 3 // 4)
    machine.start("second", anon=NODE_PAGES * 3 // 8)

    active, inactive = sizes(machine)
    assert active < inactive
    check(machine)


def test_the_oldest_do_not_run_out_nor_do_the_young_fill_memory():
    machine = one_node()
    machine.start("first", anon=NODE_PAGES * 3 // 4)
    for index in range(8):
        machine.start(f"more{index}", anon=NODE_PAGES // 8)
        active, inactive = sizes(machine)
        # A quarter when a round begins, which takes some of them.
        assert not inactive or inactive * 6 > active + inactive
    check(machine)


def test_what_comes_back_from_swap_is_old_where_there_are_old_pages():
    machine = one_node()
    machine.start("first", anon=NODE_PAGES * 7 // 8)
    second = machine.start("second", anon=NODE_PAGES // 4)
    machine.stop(second)
    active, inactive = sizes(machine)
    assert inactive
    machine.swapoff("/swap")

    assert sizes(machine)[0] == active
    assert sizes(machine)[1] > inactive - 4096
    check(machine)


@pytest.mark.parametrize(
    ("release", "mode", "reclaims"), [((6, 1), 1, True), ((6, 12), 1, False), ((6, 12), 7, True)]
)
def test_node_reclaim_that_may_not_unmap_or_write_is_in_vain_since_it_ends_at_once(release, mode, reclaims):
    machine = small_machine(release, nodes=1)
    machine.set_sysctl("min_free_kbytes", 16384)
    machine.lru_gen.enabled = 7
    machine.set_sysctl("zone_reclaim_mode", mode)
    machine.read_files(NODE_PAGES // 2)

    assert (vmscan.node_reclaim(machine, machine.nodes[0], 1000) > 0) == reclaims
    assert machine.event(Item.ZONE_RECLAIM_FAILED) == (not reclaims)


@pytest.mark.parametrize("swappiness", [60, 150])
def test_pages_do_not_grow_old_while_files_are_older(swappiness):
    machine = one_node()
    machine.set_sysctl("swappiness", swappiness)
    machine.start("first", anon=NODE_PAGES // 4)
    machine.read_files(NODE_PAGES)

    assert sizes(machine) == (NODE_PAGES // 4, 0)
    assert not machine.event(Item.PSWPOUT)
    check(machine)


def test_generations_follow_each_other_since_6_14():
    """All anonymous pages are inactive but those of since the page cache was gone: two generations a time."""
    sizes_by_release = {}
    for release in ((6, 12), (7, 2)):
        machine = small_machine(release, nodes=1)
        machine.set_sysctl("min_free_kbytes", 16384)
        machine.swapon(NODE_PAGES, "/swap")
        machine.read_files(NODE_PAGES // 2)
        task = machine.start("first", anon=NODE_PAGES * 9 // 8)
        active, inactive = sizes(machine)
        sizes_by_release[release] = active, inactive + task.swap
        check(machine)
    (active_old, inactive_old), (active_new, inactive_new) = sizes_by_release.values()

    assert inactive_old == pytest.approx(NODE_PAGES // 2, rel=0.1)  # what there was as reclaim began
    assert active_new < active_old / 2
    assert inactive_new > inactive_old


def test_the_oldest_go_first_and_then_the_next_grow_old():
    gens = Generations()
    assert gens.oldest_age(inactive=0, files=10) == 2
    gens.begin(young=30, inactive=0, files=10)
    assert gens.oldest_age(inactive=0, files=10) == 3
    gens.tiers.file.evicted = 10
    assert gens.oldest_age(inactive=0, files=5) == 2  # read since
    assert gens.oldest_age(inactive=0, files=0) == 1
    gens.begin(young=0, inactive=0, files=0)
    assert (gens.max_seq, gens.older_anon) == (2, 0)
    assert gens.oldest_age(inactive=30, files=0) == 2


@pytest.mark.parametrize("release", [(6, 12), (7, 2)])
def test_what_was_faulted_in_is_sorted_once_since_6_14(release):
    """A recorded 7.2 of 4 GiB: 867,705 of 881,000 pages; a 6.12: 1,359."""
    machine = small_machine(release, nodes=1)
    machine.set_sysctl("min_free_kbytes", 16384)
    machine.swapon(NODE_PAGES, "/swap")
    task = machine.start("first", anon=NODE_PAGES * 9 // 8)
    sorted_ = machine.global_page_state(Item.PGREFILL)
    if release == (6, 12):
        assert sorted_ == 0
    else:
        assert NODE_PAGES * 8 // 10 < sorted_ < task.anon + task.swap
    check(machine)


@pytest.mark.timeout(30)
def test_a_page_in_each_zone_grows_old_too(tmp_path):
    path = tmp_path / "machine.toml"
    path.write_text('kernel = "6.12"\n[[node]]\nmemory = "6G"\ncpus = "0"\n')
    machine = Machine.from_snapshot(boot.boot(spec.load(path)))
    machine.swapon(1000, "/swap")
    node = machine.nodes[0]
    for queue in (Lru.INACTIVE_ANON, Lru.ACTIVE_ANON, Lru.INACTIVE_FILE, Lru.ACTIVE_FILE):
        for zone in node.zones:
            lru.take(node, zone, queue, lru.lru_size(zone, queue))
    for zone in node.zones[1:3]:
        lru.add(node, zone, Lru.ACTIVE_ANON, Batch(Use.ANON, Extents.run(zone.zone_start_pfn, 1)))

    for _ in range(3):
        lru_gen.age(machine, node)
    assert [lru.lru_size(zone, Lru.INACTIVE_ANON) for zone in node.zones[1:3]] == [1, 1]
