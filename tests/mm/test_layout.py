"""Where a capture's free blocks are placed."""

import pytest

from vmfs.kernel import Kernel
from vmfs.mm.buddy import MAX_BLOCK
from vmfs.mm.build import build_zone
from vmfs.mm.check import free_list_faults
from vmfs.mm.extents import Extents
from vmfs.mm.mmzone import MAX_PAGE_ORDER, MigrateType
from vmfs.mm.snapshot import ZoneState

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
