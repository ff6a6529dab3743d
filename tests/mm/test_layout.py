"""Where a capture's free blocks are placed."""

import re

import pytest

from tests import recordings
from vmfs import capture
from vmfs.kernel import Kernel
from vmfs.mm.buddy import MAX_BLOCK
from vmfs.mm.build import build_zone
from vmfs.mm.check import check, free_list_faults
from vmfs.mm.extents import Extents
from vmfs.mm.mmzone import MAX_PAGE_ORDER, MigrateType
from vmfs.mm.snapshot import ZoneState
from vmfs.tree import Tree

BLOCKS, FREE, RESERVED = 512, 440, 20_000  # of node 0 of 2 GiB


@pytest.mark.parametrize("start", [0, 1 << 18])
def test_what_boot_reserved_lies_at_the_end_of_all_zones_but_the_first(start):
    """So no gigantic page ends there: on 6.1 and 6.12 a node of 2 GiB yields none."""
    state = ZoneState("DMA32", start_pfn=start)
    state.spanned = state.present = BLOCKS * MAX_BLOCK
    state.managed = state.present - RESERVED
    state.free[MigrateType.MOVABLE][MAX_PAGE_ORDER] = FREE
    zone, used = build_zone(Kernel.of((6, 1)), 0, 1, state)
    whole = Extents.run(start, state.present)
    reserved = whole.minus(used).minus(zone.buddy.free_extents())
    assert reserved.pages == RESERVED
    first = start if start == 0 else start + state.present - RESERVED
    assert reserved.within(Extents.run(first, RESERVED)).pages == RESERVED


def test_free_blocks_that_take_every_other_page_block_find_room_beside_those_of_other_types():
    """Zone DMA of a machine whose memory had all been huge pages: four of its seven whole page blocks."""
    state = ZoneState("DMA", start_pfn=1, spanned=4095, present=3998, managed=3840)
    state.free[MigrateType.UNMOVABLE][:] = [0, 2, 1, 1, 1, 0, 1, 0, 0, 0, 0]
    state.free[MigrateType.MOVABLE][:] = [4, 3, 2, 3, 2, 2, 2, 1, 2, 4, 0]
    state.free[MigrateType.RECLAIMABLE][:] = [0, 0, 1, 1, 1, 1, 1, 1, 1, 0, 0]
    counted = {migratetype: list(counts) for migratetype, counts in state.free.items()}
    zone, used = build_zone(Kernel.of((6, 12)), 0, 0, state)

    assert not list(free_list_faults(zone.buddy))
    for migratetype, counts in counted.items():
        assert [zone.buddy.nr_free(order, migratetype) for order in range(MAX_PAGE_ORDER + 1)] == counts
    assert used.pages == state.managed - zone.buddy.nr_free_pages


def pageblocks(text, nid, zone):
    """pagetypeinfo's number of page blocks, by type."""
    (counts,) = re.findall(rf"^Node {nid}, zone +{zone} +([\d ]+)$", text, re.MULTILINE)
    return dict(zip(MigrateType, map(int, counts.split()), strict=False))


@pytest.mark.parametrize("name", ["trio-5.10", "trio-6.1", "quad-6.12", "latest-7.2"])
def test_page_blocks_hold_free_blocks_of_their_type_only(name):
    """A kernel keeps them so but for what falls back, which no capture shows."""
    step = recordings.steps(recordings.load(name))[35]
    machine, _ = capture.load(step)
    for _, zone in machine.zones():
        if zone.populated and zone.name != "DMA":
            wrong = 0
            for migratetype in (MigrateType.UNMOVABLE, MigrateType.MOVABLE, MigrateType.RECLAIMABLE):
                for order in range(MAX_PAGE_ORDER):
                    types = zone.buddy.types_of(zone.buddy.starts(order, migratetype))
                    wrong += int((types != migratetype).sum())
            assert wrong == 0, (zone.nid, zone.name)
    check(machine)


@pytest.mark.parametrize("name", ["trio-5.10", "trio-6.1"])
def test_reclaimable_slabs_are_in_page_blocks_of_theirs_and_leave_some_of_each(name):
    """Recorded: 1,018 of 2,623 pages were left, 2,525 of 2,772, and no block of theirs became whole."""
    step = recordings.steps(recordings.load(name))[35]
    tree = Tree(capture.load(step)[0])
    zone = next(zone for zone in tree.machine.nodes[0].zones if zone.name == "DMA32")
    slabs, free = zone.slab[True], whole_reclaimable(zone)
    typed = slabs.chopped(1 << zone.buddy.pageblock_order)
    own = typed.length[zone.buddy.types_of(typed.start) == MigrateType.RECLAIMABLE].sum()
    assert own > 0.95 * slabs.pages

    tree.write("/proc/sys/vm/drop_caches", "2")
    left = zone.slab[True].chopped(1 << zone.buddy.pageblock_order).start >> zone.buddy.pageblock_order
    before = typed.start >> zone.buddy.pageblock_order
    assert zone.slab[True].pages < slabs.pages
    assert set(before.tolist()) == set(left.tolist())
    assert whole_reclaimable(zone) == free


def whole_reclaimable(zone):
    return int((zone.buddy.types_of(zone.buddy.whole_pageblocks()) == MigrateType.RECLAIMABLE).sum())


def test_where_the_kernels_image_is_free_blocks_lie_between_what_was_reserved():
    """2,000 to 5,900 pages, on recorded machines: they are left when all that can move has gone."""
    state = ZoneState("DMA32", start_pfn=4096, pageblocks={MigrateType.MOVABLE: 512})
    state.spanned = state.present = 256 * MAX_BLOCK
    state.managed = state.present - RESERVED
    state.free[MigrateType.MOVABLE][:] = [20] * 9 + [0, 100]
    small = sum(20 << order for order in range(9))
    for start, least in ((4096, 3500), (1 << 18, 0)):
        state.start_pfn = start
        zone, used = build_zone(Kernel.of((6, 1)), 0, 1, state)
        movable = {*(used.chopped(512).start // 512).tolist()}
        pieces = zone.buddy.small_free().chopped(512)
        alone = sum(
            length
            for first, length in zip(pieces.start.tolist(), pieces.length.tolist(), strict=True)
            if first // 512 not in movable
        )
        assert least <= alone <= least + 512 < small


def test_huge_pages_of_i386_turn_page_blocks_into_unmovable_ones():
    """They cannot be migrated there: 40 of them, 44 blocks instead of 4."""
    steps = recordings.steps(recordings.load("highmem-i386-6.1"))
    tree = Tree(capture.load(steps[5])[0])
    tree.write("/proc/sys/vm/nr_hugepages", "40")
    kernel = (steps[6] / "proc/pagetypeinfo").read_text()
    for zone in ("Normal", "HighMem"):
        assert pageblocks(tree.read("/proc/pagetypeinfo"), 0, zone) == pageblocks(kernel, 0, zone)


def all_memory():
    """As many huge pages as memory holds: what recorded machines got."""
    for name in ("pair-6.1", "small-6.1", "trio-6.1"):
        recording = recordings.load(name)
        for each in (recording, *recordings.again(recording)):
            yield pytest.param(each, id=each.name)


@pytest.mark.parametrize("recording", [*all_memory()])
def test_as_many_huge_pages_as_memory_holds_are_as_many_as_recorded(recording):
    before, after = (recordings.steps(recording)[number] for number in (35, 36))
    tree = Tree(capture.load(before)[0])
    for action in recordings.actions(after):
        if isinstance(action, recordings.Write):
            tree.write(action.path, action.payload)
    kernel = int((after / "proc/sys/vm/nr_hugepages").read_text())
    events = dict(line.split() for line in tree.read("/proc/vmstat").splitlines())

    assert abs(int(tree.read("/proc/sys/vm/nr_hugepages")) - kernel) <= 1
    assert int(events["allocstall_movable"]) >= int(events["htlb_buddy_alloc_fail"])
    check(tree.machine)
