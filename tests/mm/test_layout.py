"""Where a capture's free blocks are placed."""

import pytest

from vmfs.kernel import Kernel
from vmfs.mm.buddy import MAX_BLOCK
from vmfs.mm.build import build_zone
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
