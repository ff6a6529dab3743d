"""Which of a zone's used frames are managed, and which were reserved at boot.

No capture tells. Recorded machines of which all memory was made huge pages show what was left: page blocks
of the movable type hold movable pages, and what was reserved; the kernel's own pages are in the others.
"""

from __future__ import annotations

import numpy as np

from vmfs.mm.buddy import Buddy
from vmfs.mm.extents import Extents, distinct
from vmfs.mm.layout import reserved_first
from vmfs.mm.lru import ZONE_ITEMS
from vmfs.mm.mmzone import MigrateType
from vmfs.mm.snapshot import ZoneState

KERNEL_PFN = 1 << 12  # LOAD_PHYSICAL_ADDR: its image is at 16 MiB
EDGE_PAGES = 4000
"""Free pages in page blocks that what was reserved beside the kernel's image reaches into.

The image, the initial RAM disk, memory maps and hash tables are in a dozen pieces; 2,000 to 5,900 pages
of recorded machines lay between them, in blocks that nothing could make whole.
"""


def managed_frames(buddy: Buddy, state: ZoneState, present: Extents) -> Extents:
    """Of the `present` frames in use those that are managed, with those that may move at the end."""
    reserved = state.present - state.managed
    early = Extents.concat([_in_unmovable_blocks(buddy, state, present), _at_edges(buddy, state, present)])
    early = early.take(reserved)[0]
    present, reserved = present.minus(early.coalesced()), reserved - early.pages
    if reserved_first(state):
        managed = _scattered_last(buddy, present).take(reserved)[1]
    else:
        managed = _scattered_last(buddy, present.take(present.pages - reserved)[0])
    return _movable_last(buddy, managed)


def _in_unmovable_blocks(buddy: Buddy, state: ZoneState, present: Extents) -> Extents:
    """What these have in use beyond what the kernel has allocated."""
    pieces = present.chopped(1 << buddy.pageblock_order)
    types = buddy.types_of(pieces.start)
    typed = int(pieces.length[types != MigrateType.MOVABLE].sum())
    listed = sum(state.stat.get(item.text, 0) for item in ZONE_ITEMS) + sum(state.pcp_count.values())
    own = state.managed - buddy.nr_free_pages - listed
    return pieces.select(types == MigrateType.UNMOVABLE).take(typed - max(own, 0))[0]


def _at_edges(buddy: Buddy, state: ZoneState, present: Extents) -> Extents:
    """The used pages of the first movable page blocks that are free in part, where the kernel's image is."""
    if not state.start_pfn <= KERNEL_PFN < state.start_pfn + state.spanned:
        return Extents.empty()
    size = 1 << buddy.pageblock_order
    free = buddy.small_free().chopped(size)
    free = free.select(buddy.types_of(free.start) == MigrateType.MOVABLE)
    blocks, index = np.unique(free.start // size, return_inverse=True)
    pages = np.bincount(index, free.length, len(blocks))
    pieces = present.chopped(size)
    return pieces.select(np.isin(pieces.start // size, blocks[np.cumsum(pages) <= EDGE_PAGES]))


def _scattered_last(buddy: Buddy, used: Extents) -> Extents:
    """The used pages that share a movable page block with small free blocks come last."""
    size = 1 << buddy.pageblock_order
    pieces = used.chopped(size)
    if not len(pieces.start):
        return used
    partial = distinct(buddy.small_free().chopped(size).start // size)
    last = np.isin(pieces.start // size, partial) & (buddy.types_of(pieces.start) == MigrateType.MOVABLE)
    return Extents.concat([pieces.select(~last).coalesced(), pieces.select(last).coalesced()])


def _movable_last(buddy: Buddy, used: Extents) -> Extents:
    """Pages that can move are looked for in movable page blocks, the kernel's own in others."""
    pieces = used.chopped(1 << buddy.pageblock_order)
    others = pieces.select(buddy.types_of(pieces.start) != MigrateType.MOVABLE).coalesced()
    return Extents.concat([others, used.minus(others)])
