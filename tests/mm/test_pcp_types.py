"""A CPU's lists hold pages by the type of their page block, and each request takes from its own."""

import pytest

from tests.small_machine import NODE_PAGES, small_machine
from vmfs import boot, spec
from vmfs.kernel import Kernel
from vmfs.mm import alloc_request, lru, page_alloc, page_free, wmark
from vmfs.mm.build import build_node
from vmfs.mm.check import check
from vmfs.mm.machine import Machine
from vmfs.mm.mmzone import MAX_PAGE_ORDER, MigrateType
from vmfs.mm.snapshot import NodeState, ZoneState
from vmfs.mm.vmstat import Item

UNMOVABLE, MOVABLE = MigrateType.UNMOVABLE, MigrateType.MOVABLE


def zone_of(machine, name="Normal"):
    return next(zone for _, zone in machine.zones() if zone.name == name)


def one_node(release=(6, 1)):
    machine = small_machine(release, nodes=1)
    machine.set_sysctl("min_free_kbytes", 16384)
    return machine


def rest_on_list(zone, cpu, pages, migratetype=UNMOVABLE):
    zone.pageset.put(cpu, zone.free_area.alloc(0, pages, migratetype)[0], migratetype)


def test_files_do_not_use_what_the_kernel_has_freed():
    machine = one_node()
    zone, cpu = zone_of(machine), machine.cpu_of(0)
    rest_on_list(zone, cpu, 1000)
    machine.read_files(5000, files=0)

    assert zone.pageset.held(cpu, UNMOVABLE) >= 1000 - zone.pageset_batch
    check(machine)


def test_the_kernel_uses_it_again():
    machine = one_node()
    zone, cpu = zone_of(machine), machine.cpu_of(0)
    rest_on_list(zone, cpu, 1000)
    free, held = zone.free_pages, zone.pageset.held(cpu, UNMOVABLE)
    page_alloc.alloc_pages(machine, alloc_request.gfp_kernel(machine, 0, 900))

    assert zone.free_pages == free
    assert zone.pageset.held(cpu, UNMOVABLE) == held - 900


def test_a_zone_at_its_low_watermark_is_passed_over_whatever_its_lists_hold():
    machine = Machine.from_snapshot(boot.boot(spec.load("x86-32")))
    high, normal = zone_of(machine, "HighMem"), zone_of(machine)
    for cpu in (0, 1):
        rest_on_list(high, cpu, 5000)
    left, own = high.free_pages - wmark.low_wmark_pages(high), high.pageset.held(1, MOVABLE)
    task = machine.start("spills", anon=left + own + 2000)

    assert task.cpu == 1
    assert 1900 < lru.lru_size(normal, machine.new_anon_list) < 2500
    assert wmark.min_wmark_pages(high) < high.free_pages <= wmark.low_wmark_pages(high)
    assert machine.event(Item.PAGEOUTRUN) == 0
    check(machine)


def test_what_is_freed_goes_on_the_list_of_its_page_block():
    machine = one_node()
    zone, cpu = zone_of(machine), machine.cpu_of(0)
    pages = {kind: zone.free_area.alloc(0, 200, kind)[0] for kind in (UNMOVABLE, MOVABLE)}
    before = {kind: zone.pageset.held(cpu, kind) for kind in pages}
    for extents in pages.values():
        page_free.free_pages(machine, zone, extents)

    assert {kind: zone.pageset.held(cpu, kind) - before[kind] for kind in pages} == dict.fromkeys(pages, 200)


def test_a_long_row_of_frees_leaves_pages_of_other_types_alone():
    machine = one_node((7, 2))
    task = machine.start("gone", anon=NODE_PAGES // 2)
    zone = zone_of(machine)
    rest_on_list(zone, task.cpu, 500)
    held = zone.pageset.held(task.cpu, UNMOVABLE)
    machine.stop(task)

    assert zone.pageset.held(task.cpu, UNMOVABLE) >= held
    assert zone.pageset.count(task.cpu) < zone.pageset_high_min
    check(machine)


@pytest.mark.parametrize(("pages", "untouched"), [(3, True), (3000, False)])
def test_a_few_frees_under_reclaim_shorten_one_cpus_lists_a_little(pages, untouched):
    machine = one_node()
    machine.nodes[0].cpus = (0, 1)
    zone, cpu = zone_of(machine), machine.cpu_of(0)
    for each in (0, 1):
        rest_on_list(zone, each, 3000, MOVABLE)
    batch = zone.pageset_batch
    freed = zone.free_area.alloc(0, pages, MOVABLE)[0]
    page_free.free_pages(machine, zone, freed, reclaim=True)

    assert (zone.pageset.count(1 - cpu) == 3000) == untouched
    assert (zone.pageset.count(cpu) > 3000 - 3 * 4 * batch) == untouched
    assert untouched or zone.pageset.total <= 2 * 4 * batch


def test_lists_are_drained_for_a_block_that_reclaim_does_not_free_at_once():
    machine = one_node()
    zone, elsewhere = zone_of(machine), 7
    rest_on_list(zone, elsewhere, 3000, MOVABLE)
    machine.read_files(zone.free_pages - wmark.low_wmark_pages(zone) - 1, files=0)
    request = alloc_request.gfp_highuser_movable(machine, 0, 8, machine.kernel.hpage_pmd_order)
    page_alloc.alloc_pages(machine, request)

    assert zone.pageset.count(elsewhere) == 0


def test_of_a_known_zone_what_the_kernel_leaves_of_unmovable_blocks_is_on_the_lists():
    kernel, block = Kernel.of((6, 1)), 512
    zone = ZoneState("Normal", 1 << 18, 64 * block, 64 * block, 64 * block)
    zone.free[MOVABLE][MAX_PAGE_ORDER] = 28  # 56 of 64 blocks
    zone.pageblocks = {UNMOVABLE: 4, MOVABLE: 60}
    zone.stat = {"nr_zone_inactive_file": 2 * block}
    zone.pcp_count = {0: 3 * block, 1: block // 2}
    node = build_node(kernel, NodeState(0, (0, 1), (10,), [zone]), [], [])
    built = node.zones[0]

    kernels = (8 - 2) * block - sum(zone.pcp_count.values())
    assert built.other.pages == kernels
    unmovable = [built.pageset.held(cpu, UNMOVABLE) for cpu in (0, 1)]
    assert sum(unmovable) == 4 * block - kernels
    assert [built.pageset.count(cpu) for cpu in (0, 1)] == [3 * block, block // 2]
    assert (built.buddy.types_of(built.other.chopped(block).start) == UNMOVABLE).all()
