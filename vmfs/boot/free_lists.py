"""The free lists of a zone after boot: what memblock left, less what the kernel has allocated since."""

from __future__ import annotations

from dataclasses import dataclass, field

from vmfs.boot.ranges import Ranges, clip, intersect, pages, union
from vmfs.boot.zones import ZoneSpan
from vmfs.mm.mmzone import MAX_PAGE_ORDER, NR_PAGE_ORDERS, MigrateType
from vmfs.mm.snapshot import ZoneState

UNMOVABLE, MOVABLE, RECLAIMABLE = MigrateType.UNMOVABLE, MigrateType.MOVABLE, MigrateType.RECLAIMABLE
MAX_BLOCK = 1 << MAX_PAGE_ORDER
SECTION = 1 << 15  # of SPARSEMEM: frames for which page blocks exist


@dataclass(slots=True)
class Demand:
    """Pages in use of one zone, by the type they were allocated as."""

    unmovable: int = 0
    reclaimable: int = 0
    movable: int = 0
    pools: list[int] = field(default_factory=list)  # sizes of single unmovable blocks, powers of two
    huge: int = 0  # pages of huge pages, in blocks of the largest order

    @property
    def total(self) -> int:
        return self.unmovable + self.reclaimable + self.movable + sum(self.pools) + self.huge


def fill(
    pageblock_order: int, state: ZoneState, span: ZoneSpan, free: Ranges, deferred: Ranges, demand: Demand
) -> None:
    """Sets `free` and `pageblocks` of a zone whose `managed` frames are `free`, with `demand` taken out.

    `deferred`: frames whose page structs were set up late; page blocks there that boot kept are
    never made Movable.
    """
    lists = _Lists(state, span, pageblock_order)
    for start, end in free:
        lists.add(start, end)
    for size in demand.pools:
        lists.take_pool(size)
    lists.take_largest(MOVABLE, demand.huge, convert=False)
    lists.take_largest(UNMOVABLE, demand.unmovable)
    lists.take_largest(RECLAIMABLE, demand.reclaimable)
    lists.take_smallest(demand.movable)
    blocks = _pageblocks(span, lists.block)
    other = lists.converted
    other[UNMOVABLE] += _first_is_unmovable(span, lists.block) + _kept(free, deferred, lists.block)
    # A zone may be the kernel's to its last block.
    other[UNMOVABLE] = min(other[UNMOVABLE], blocks - other[RECLAIMABLE])
    state.pageblocks = {t: other.get(t, 0) for t in MigrateType} | {MOVABLE: blocks - sum(other.values())}


class _Lists:
    """The lists while pages are taken; `converted` counts page blocks that changed their type."""

    def __init__(self, state: ZoneState, span: ZoneSpan, pageblock_order: int) -> None:
        self.free = state.free
        self.block = 1 << pageblock_order
        first = -(-span.start // self.block) * self.block
        self.movable_from = first if span.start % self.block else span.start
        self.converted = {UNMOVABLE: 0, RECLAIMABLE: 0}

    def add(self, start: int, end: int) -> None:
        """A free range, in the largest aligned blocks. The zone's broken first page block is Unmovable."""
        if start < self.movable_from:
            self._add(start, min(end, self.movable_from), UNMOVABLE)
        self._add(max(start, self.movable_from), end, MOVABLE)

    def _add(self, start: int, end: int, migratetype: MigrateType) -> None:
        counts = self.free[migratetype]
        while start < end:
            order = min((start & -start).bit_length() - 1 if start else MAX_PAGE_ORDER, MAX_PAGE_ORDER)
            order = min(order, (end - start).bit_length() - 1)
            blocks = (end - start) >> order if order == MAX_PAGE_ORDER else 1
            counts[order] += blocks
            start += blocks << order

    def take_pool(self, size: int) -> None:
        """One block at once: from the Unmovable list if it has one, else from a stolen largest block."""
        order = size.bit_length() - 1
        counts = self.free[UNMOVABLE]
        found = next((o for o in range(order, NR_PAGE_ORDERS) if counts[o]), None)
        if found is None:
            self.take_largest(UNMOVABLE, size)
            return
        counts[found] -= 1
        for smaller in range(order, found):
            counts[smaller] += 1

    def take_largest(self, migratetype: MigrateType, wanted: int, *, convert: bool = True) -> None:
        """Pages of a type fall back to the largest Movable block and take its page blocks over."""
        if wanted <= 0:
            return
        counts = self.free[MOVABLE]
        whole = min(-(-wanted // MAX_BLOCK), counts[MAX_PAGE_ORDER])
        counts[MAX_PAGE_ORDER] -= whole
        if convert:
            self.converted[migratetype] += whole * MAX_BLOCK // self.block
        left = whole * MAX_BLOCK - wanted
        if left >= 0:
            self._give(migratetype if convert else MOVABLE, left)
        else:
            self.take_smallest(-left)

    def take_smallest(self, wanted: int) -> None:
        """Movable pages use the fragments up before a block is split."""
        for migratetype in (MOVABLE, RECLAIMABLE, UNMOVABLE):
            counts = self.free[migratetype]
            for order in range(NR_PAGE_ORDERS):
                blocks = min(counts[order], -(-wanted >> order))
                counts[order] -= blocks
                wanted -= blocks << order
                if wanted <= 0:
                    self._give(migratetype, -wanted)
                    return

    def _give(self, migratetype: MigrateType, spare: int) -> None:
        for order in range(NR_PAGE_ORDERS):
            self.free[migratetype][order] += spare >> order & 1


def _pageblocks(span: ZoneSpan, block: int) -> int:
    """As pagetypeinfo counts them: steps of a page block from the zone's start, where sections exist."""
    sections = union((a // SECTION * SECTION, -(-b // SECTION) * SECTION) for a, b in span.memory)
    inside = clip(sections, span.start, span.end)
    return _first_frames(tuple((a - span.start, b - span.start) for a, b in inside), block)


def _first_is_unmovable(span: ZoneSpan, block: int) -> int:
    # memmap_init_range() makes a page block Movable at its first frame, which this zone lacks.
    return int(bool(span.start % block))


def _kept(free: Ranges, deferred: Ranges, block: int) -> int:
    """Page blocks in deferred memory whose first frame boot has kept."""
    return _first_frames(deferred, block) - _first_frames(intersect(free, deferred), block)


def _first_frames(ranges: Ranges, block: int) -> int:
    return pages((-(-a // block), -(-b // block)) for a, b in ranges)
