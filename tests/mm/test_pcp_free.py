"""Where freed pages rest: on the per-cpu list of who freed them, up to its limit."""

import pytest

from tests.small_machine import NODE_PAGES, small_machine
from vmfs import boot, spec
from vmfs.kernel import Arch
from vmfs.mm import pcp_free
from vmfs.mm.check import check
from vmfs.mm.hugetlb import set_max_huge_pages
from vmfs.mm.machine import Machine
from vmfs.mm.mmzone import MigrateType
from vmfs.mm.pcp import HUGE


def normal(machine, nid=0):
    return next(zone for node, zone in machine.zones() if node.nid == nid and zone.name == "Normal")


def one_node(release=(6, 1)):
    machine = small_machine(release, nodes=1)
    machine.set_sysctl("min_free_kbytes", 16384)
    return machine


@pytest.mark.parametrize(("release", "bursts"), [((5, 10), 1), ((7, 2), 32)])
def test_a_list_is_nearly_full_after_a_long_row_of_frees(release, bursts):
    machine = one_node(release)
    task = machine.start("gone", anon=NODE_PAGES // 2)
    machine.stop(task)
    zone = normal(machine)

    held, high = zone.pageset.count(task.cpu), zone.pageset_high_min
    assert max(high - bursts * zone.pageset_batch, 0) <= held < high
    check(machine)


@pytest.mark.parametrize("release", [(6, 1), (6, 12)])
def test_who_exits_empties_the_list_of_its_kernel_pages(release):
    """Since 6.7 by 32 batches; small lists are empty then as well."""
    machine = one_node(release)
    task = machine.start("gone", anon=NODE_PAGES // 2)
    machine.stop(task)
    zone = normal(machine)

    most = 0 if release == (6, 1) else zone.pageset_high_min - 32 * zone.pageset_batch
    assert zone.pageset.count(task.cpu) <= most
    check(machine)


@pytest.mark.parametrize(("release", "left"), [((6, 1), 0), ((6, 12), 3)])
def test_huge_pages_leave_the_list_with_the_small_ones(release, left):
    """Recorded on 6.1: 8,165 pages, 15 huge ones among them, became 57."""
    machine = one_node(release)
    zone, cpu = normal(machine), 0
    blocks, _ = zone.buddy.alloc(9, 7, MigrateType.MOVABLE)
    zone.pageset.put(cpu, blocks.chopped(1 << 9), HUGE)
    pcp_free.empty(machine, zone, cpu)

    assert zone.pageset.held(cpu, HUGE) >> 9 == left
    check(machine)


def test_without_a_large_block_to_free_last_the_list_stays_full():
    machine = small_machine((6, 1), Arch.I386, min_free_kbytes=16384)
    machine.set_sysctl("min_free_kbytes", 16384)
    task = machine.start("gone", anon=NODE_PAGES // 2)
    machine.stop(task)
    zone = normal(machine)

    assert zone.pageset.count(task.cpu) >= zone.pageset_high_min - 32 * zone.pageset_batch
    check(machine)


def test_a_killed_task_leaves_its_cpus_list_full():
    machine = one_node((6, 1))
    task = machine.start("victim", anon=NODE_PAGES // 2)
    machine.oom()
    zone = normal(machine)

    assert zone.pageset.count(task.cpu) >= zone.pageset_high_min - 32 * zone.pageset_batch
    check(machine)


def test_short_frees_stay_on_the_list():
    machine = one_node((6, 1))
    task = machine.start("short", anon=100)
    zone = normal(machine)
    free = machine.free_pages
    held = zone.pageset.count(task.cpu)
    machine.stop(task)

    assert zone.pageset.count(task.cpu) >= held + 100
    assert machine.free_pages == free


def test_compaction_frees_what_it_moved_by_way_of_the_list_and_drains_nothing():
    machine = one_node((6, 12))
    machine.read_files(1000)
    zone = normal(machine)
    cpu = machine.cpu_of(0)
    held = zone.pageset.count(cpu)
    zone.free_area.free(zone.free_area.alloc(0, 3, MigrateType.UNMOVABLE)[0])
    machine.compact_memory()

    assert zone.pageset.count(cpu) >= held
    check(machine)


def test_lists_are_short_while_their_zone_is_reclaimed():
    machine = one_node((6, 1))
    machine.read_files(2 * NODE_PAGES)
    zone = normal(machine)

    assert all(zone.pageset.count(cpu) <= 4 * zone.pageset_batch for cpu in zone.pageset.lists)


def test_tasks_run_beside_who_starts_them_and_beside_each_other():
    machine = small_machine(nodes=1)
    machine.nodes[0].cpus = (0, 1, 2)
    tasks = [machine.start(name, anon=1000) for name in "abc"]

    assert [task.cpu for task in tasks] == [1, 2, 0]
    assert normal(machine).pageset.lists.keys() >= {1, 2}


@pytest.mark.parametrize("arch", Arch)
def test_freed_huge_pages_rest_on_the_list_as_well(arch):
    machine = small_machine((6, 1), arch, nodes=1)
    machine.set_sysctl("min_free_kbytes", 65536)
    free = machine.free_pages
    set_max_huge_pages(machine, machine.default_hstate, 8)
    set_max_huge_pages(machine, machine.default_hstate, 0)

    held = normal(machine).pageset.held(machine.cpu_of(0), HUGE)
    assert held == free - machine.free_pages == 8 << machine.default_hstate.order
    check(machine)


@pytest.mark.parametrize(("release", "back"), [("6.1", False), ("6.12", True)])
def test_lists_that_became_too_long_are_shortened_in_the_next_second(release, back):
    machine = Machine.from_snapshot(boot.boot(spec.load("tiny", kernel=release)))
    task = machine.start("task", anon=50_000)
    machine.set_sysctl("min_free_kbytes", 400_000)
    machine.stop(task)
    (zone,) = [zone for _, zone in machine.zones() if zone.pageset.count(0) > 1_000]
    machine.set_sysctl("min_free_kbytes", 4_000)
    held, free = zone.pageset.count(0), machine.free_pages
    machine.tick(1)

    assert (zone.pageset.count(0) < held // 2) == back
    assert machine.free_pages - free == held - zone.pageset.count(0)
    check(machine)


def test_high_sinks_to_its_least_while_nothing_happens():
    machine = Machine.from_snapshot(boot.boot(spec.load("tiny", kernel="6.12")))
    zone = next(zone for _, zone in machine.zones() if zone.name == "DMA32")
    zone.pageset.high[0] = 4 * zone.pageset_high_min
    machine.tick(1)
    assert zone.pageset.high[0] == 4 * zone.pageset_high_min - (4 * zone.pageset_high_min >> 3)
    machine.tick(30)
    assert zone.pageset.high[0] == zone.pageset_high_min
