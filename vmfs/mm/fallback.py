"""Taking free blocks of another migrate type (mm/page_alloc.c: __rmqueue_fallback()).

In bulk: what one call does for many pages is what a kernel does that asks for them one by one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vmfs.mm.extents import Pfns, distinct
from vmfs.mm.mmzone import MAX_PAGE_ORDER, MigrateType

if TYPE_CHECKING:
    from vmfs.mm.buddy import Buddy

FALLBACKS: dict[MigrateType, tuple[MigrateType, ...]] = {
    MigrateType.UNMOVABLE: (MigrateType.RECLAIMABLE, MigrateType.MOVABLE),
    MigrateType.MOVABLE: (MigrateType.RECLAIMABLE, MigrateType.UNMOVABLE),
    MigrateType.RECLAIMABLE: (MigrateType.UNMOVABLE, MigrateType.MOVABLE),
}
"""mm/page_alloc.c: fallbacks[]."""


def steal(area: Buddy, order: int, want: int, migratetype: MigrateType) -> int | None:
    """Move blocks of another type to this type's lists, for `want` pages in blocks of `order`.

    Returns how many blocks smaller than a page block had to be taken (each boosts the watermark);
    None when there is nothing to take. The lists of `migratetype` hold no block of `order` then,
    and may hold less than `want` afterwards: ask again. steal_suitable_fallback().
    """
    found = _find(area, order, migratetype)
    if found is None:
        return None
    at, other = found
    if at >= area.pageblock_order:
        area.convert(at, -(-want >> at), other, migratetype)
        return 0
    if at >= area.pageblock_order // 2 or migratetype is not MigrateType.MOVABLE:
        return _pageblocks(area, order, area.starts(at, other)[: -(-want >> at)], want, migratetype)
    return _smallest(area, order, want, other, migratetype)


def _find(area: Buddy, order: int, migratetype: MigrateType) -> tuple[int, MigrateType] | None:
    """find_suitable_fallback(): the largest block of a type that may be used instead."""
    for at in range(MAX_PAGE_ORDER, order - 1, -1):
        for other in FALLBACKS.get(migratetype, ()):
            if area.nr_free(at, other):
                return at, other
    return None


def _smallest(area: Buddy, order: int, want: int, other: MigrateType, migratetype: MigrateType) -> int:
    """Only these blocks change lists: stealing more would bring movable pages among others for little."""
    at = next(at for at in range(order, area.pageblock_order) if area.nr_free(at, other))
    moving = area.starts(at, other)[: -(-want >> at)]
    area.change_list(moving, at, other, migratetype)
    return len(moving)


def _pageblocks(area: Buddy, order: int, near: Pfns, want: int, migratetype: MigrateType) -> int:
    """move_freepages_block() of the page blocks around these blocks, until `want` pages have moved.

    A page block changes its type as well when half of it is free; pages in use that would be
    compatible with the new type are not counted.
    """
    size = 1 << area.pageblock_order
    firsts = distinct(near & -size)
    others = [t for t in MigrateType if t is not migratetype]
    inside = [(t, o, starts) for t in others for o, starts in enumerate(area.starts_within(firsts, t))]
    usable = _pages(firsts, [(o, starts) for _, o, starts in inside if o >= order], size)
    # One short of enough: the last page block is for the next call, which may not need another.
    firsts = firsts[: max(int(np.searchsorted(np.cumsum(usable), want)), 1)]
    moving = [(t, o, starts[starts < firsts[-1] + size]) for t, o, starts in inside]
    for other, o, starts in moving:
        if len(starts):
            area.change_list(starts, o, other, migratetype)
    moved = _pages(firsts, [(o, starts) for _, o, starts in moving], size)
    area.set_types(np.maximum(firsts[moved >= size // 2], area.start_pfn), migratetype)
    return len(firsts)


def _pages(firsts: Pfns, blocks: list[tuple[int, Pfns]], size: int) -> Pfns:
    """How many pages of these blocks lie in each page block."""
    total = np.zeros(len(firsts), np.int64)
    for order, starts in blocks:
        if len(starts):
            total += np.bincount(np.searchsorted(firsts, starts & -size), minlength=len(firsts)) << order
    return total
