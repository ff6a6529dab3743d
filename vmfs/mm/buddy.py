"""The free lists of one zone: struct free_area, over real page frame numbers.

Free blocks below the largest order are sorted arrays of their first frames; blocks of the largest
order are runs, so an empty zone of any size costs a few bytes. The kernel's lists are last in,
first out; here the lowest address goes first, which cannot be seen from outside.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from vmfs.mm import fallback
from vmfs.mm.extents import Extents, Pfns, distinct, member
from vmfs.mm.mmzone import MAX_PAGE_ORDER, NR_PAGE_ORDERS, MigrateType
from vmfs.mm.pageblock import PageBlocks

_EMPTY: Pfns = np.empty(0, np.int64)
MAX_BLOCK = 1 << MAX_PAGE_ORDER
_FEW = 4  # blocks


@dataclass(slots=True, eq=False)
class Buddy(PageBlocks):
    """The lists of one zone, by type and order."""

    nr_free_pages: int = 0
    _small: list[list[Pfns]] = field(init=False)
    _runs: list[Extents] = field(init=False)

    def __post_init__(self) -> None:
        PageBlocks.__post_init__(self)  # super() does not know the class that slots=True makes
        self._small = [[_EMPTY] * MAX_PAGE_ORDER for _ in MigrateType]
        self._runs = [Extents.empty() for _ in MigrateType]

    # -- reading -----------------------------------------------------------------------------

    def nr_free(self, order: int, migratetype: MigrateType | None = None) -> int:
        """Free blocks of exactly that order: struct free_area.nr_free, or one list's length."""
        if migratetype is None:
            return sum(self.nr_free(order, t) for t in MigrateType)
        if order == MAX_PAGE_ORDER:
            return self._runs[migratetype].pages >> MAX_PAGE_ORDER
        return len(self._small[migratetype][order])

    def free_pages_of(self, migratetype: MigrateType) -> int:
        """Free pages on the lists of one type."""
        small = sum(len(starts) << order for order, starts in enumerate(self._small[migratetype]))
        return small + self._runs[migratetype].pages

    @property
    def nr_free_pages_blocks(self) -> int:
        """Free pages in blocks of pageblock size and more (NR_FREE_PAGES_BLOCKS)."""
        orders = range(self.pageblock_order, NR_PAGE_ORDERS)
        return sum(self.nr_free(order) << order for order in orders)

    def free_extents(self) -> Extents:
        """All free pages, neighbours joined."""
        parts = [Extents.blocks(a, o) for lists in self._small for o, a in enumerate(lists)]
        return Extents.concat([*parts, *self._runs]).coalesced()

    def small_free(self) -> Extents:
        """Free pages in blocks smaller than a page block, by address."""
        lists = (every[: self.pageblock_order] for every in self._small)
        parts = [Extents.blocks(a, order) for orders in lists for order, a in enumerate(orders)]
        return Extents.concat(parts).coalesced()

    def whole_pageblocks(self) -> Pfns:
        """First frames of the page blocks that are wholly free."""
        size = 1 << self.pageblock_order
        orders = range(self.pageblock_order, MAX_PAGE_ORDER)
        large = [Extents.blocks(lists[o], o) for lists in self._small for o in orders]
        return np.sort(Extents.concat([*large, *self._runs]).chopped(size).start)

    def pageblocks_of(self, migratetype: MigrateType) -> Pfns:
        """The first frame in the zone of each page block that holds a free page of this type."""
        parts = [Extents.blocks(a, o) for o, a in enumerate(self._small[migratetype])]
        free = Extents.concat([*parts, self._runs[migratetype]])
        firsts = distinct(free.chopped(1 << self.pageblock_order).start >> self.pageblock_order)
        first_pfns: Pfns = np.maximum(firsts << self.pageblock_order, self.start_pfn)
        return first_pfns

    def starts(self, order: int, migratetype: MigrateType) -> Pfns:
        """First frames of a list below the largest order."""
        return self._small[migratetype][order]

    def starts_within(self, firsts: Pfns, migratetype: MigrateType) -> Iterator[Pfns]:
        """The same by order, below page block size, as far as they lie in the page blocks `firsts`."""
        size = 1 << self.pageblock_order
        for every in self._small[migratetype][: self.pageblock_order]:
            low, high = np.searchsorted(every, (firsts[0], firsts[-1] + size))
            near = every[low:high]
            yield near[member(near & -size, firsts)]

    def is_free(self, pfns: Pfns, order: int) -> npt.NDArray[np.bool_]:
        """Which frames start a free block of exactly that order (below the largest)."""
        found = np.zeros(len(pfns), bool)
        for lists in self._small:
            found |= member(pfns, lists[order])
        return found

    def has_block(self, order: int, types: tuple[MigrateType, ...]) -> bool:
        """Is there a free block of at least that order on one of these lists?"""
        return any(self.nr_free(o, t) for o in range(order, NR_PAGE_ORDERS) for t in types)

    # -- allocating --------------------------------------------------------------------------

    def alloc(self, order: int, count: int, migratetype: MigrateType) -> tuple[Extents, int]:
        """Up to `count` blocks of `order`, smallest sufficient order first, other types last.

        Returns the pages and how many blocks smaller than a page block had to be stolen from
        another type (each boosts the watermark). mm/page_alloc.c: __rmqueue().
        """
        parts: list[Extents] = []
        want, steals = count << order, 0
        while want > 0:
            got = self._take(order, want, migratetype)
            parts.append(got)
            want -= got.pages
            if want <= 0:
                break
            stolen = fallback.steal(self, order, want, migratetype)
            if stolen is None:
                break
            steals += stolen
        return Extents.concat(parts), steals

    def _take(self, order: int, want: int, migratetype: MigrateType) -> Extents:
        """From the lists of one type alone. `want` is a multiple of `1 << order` pages."""
        parts: list[Extents] = []
        for o in range(order, NR_PAGE_ORDERS):
            if want <= 0:
                break
            if not self._listed(o, migratetype):
                continue
            head = self._pop(o, -(-want >> o), migratetype)
            have = head.pages
            if have > want:
                head, rest = head.take(want)
                self._insert_parts(rest, migratetype)
            parts.append(head)
            want -= min(have, want)
        got = Extents.concat(parts)
        self.nr_free_pages -= got.pages
        return got

    def _listed(self, order: int, migratetype: MigrateType) -> int:
        """Whether a list is empty: 0 when it is."""
        return len(
            self._runs[migratetype].start if order == MAX_PAGE_ORDER else self._small[migratetype][order]
        )

    def _pop(self, order: int, blocks: int, migratetype: MigrateType) -> Extents:
        """The first blocks of a list, as many as there are."""
        if order == MAX_PAGE_ORDER:
            head, self._runs[migratetype] = self._runs[migratetype].take(blocks << order)
            return head
        lists = self._small[migratetype]
        head, lists[order] = Extents.blocks(lists[order][:blocks], order), lists[order][blocks:]
        return head

    def _insert_parts(self, extents: Extents, migratetype: MigrateType) -> None:
        """Put the rest of a split block back: expand()."""
        small, runs = extents.aligned(MAX_PAGE_ORDER)
        for order, starts in enumerate(small):
            if len(starts):
                self._insert(starts, order, migratetype)
        if len(runs.start):
            self._insert_runs(runs, migratetype)

    def convert(self, order: int, blocks: int, other: MigrateType, migratetype: MigrateType) -> None:
        """Whole page blocks change type, as many as are wanted."""
        taken = self._pop(order, blocks, other)
        self.set_types(taken.chopped(1 << self.pageblock_order).start, migratetype)
        self._insert_parts(taken, migratetype)

    def change_list(self, starts: Pfns, order: int, old: MigrateType, new: MigrateType) -> None:
        """These free blocks, in order of address, go over to another type's list."""
        lists = self._small[old]
        lists[order] = np.delete(lists[order], np.searchsorted(lists[order], starts))
        self._insert(starts, order, new)

    def isolate(self, extents: Extents) -> None:
        """Take exactly these pages, all of them free, off the lists (isolate_freepages_block())."""
        inside = extents.coalesced()
        for migratetype in MigrateType:
            for order, starts in enumerate(self._small[migratetype]):
                hit = Extents.blocks(starts, order).overlaps(inside)
                if hit.any():
                    self._small[migratetype][order] = starts[~hit]
                    broken = Extents.blocks(starts[hit], order)
                    self._insert_parts(broken.minus(inside), migratetype)
            runs = self._runs[migratetype]
            hit = runs.overlaps(inside)
            if hit.any():
                self._runs[migratetype] = runs.select(~hit)
                self._insert_parts(runs.select(hit).minus(inside), migratetype)
        self.nr_free_pages -= inside.pages

    def add_runs(self, runs: Extents, migratetype: MigrateType) -> None:
        """`add` for the largest order."""
        self.nr_free_pages += runs.pages
        self._insert_runs(runs, migratetype)

    def add(self, starts: Pfns, order: int, migratetype: MigrateType) -> None:
        """Put blocks on one list without merging: laying out a machine whose lists are known."""
        self.nr_free_pages += len(starts) << order
        self._insert(starts, order, migratetype)

    # -- freeing -----------------------------------------------------------------------------

    def free(self, extents: Extents) -> None:
        """Give pages back; buddies merge order by order. mm/page_alloc.c: __free_one_page()."""
        if not len(extents.start):
            return
        self.nr_free_pages += extents.pages
        small, runs = extents.aligned(MAX_PAGE_ORDER)
        merged = _EMPTY
        for order in range(MAX_PAGE_ORDER):
            fresh = np.concatenate((merged, small[order]))
            merged = self._merge(np.sort(fresh), order) if len(fresh) else _EMPTY
        self._insert_runs_by_type(Extents.concat([Extents.blocks(merged, MAX_PAGE_ORDER), runs]))

    def _merge(self, fresh: Pfns, order: int) -> Pfns:
        """Insert blocks of one order; returns the first frames of those that merged into the next."""
        if len(fresh) <= _FEW:
            return np.array(self._merge_few(fresh.tolist(), order), np.int64)
        buddies = fresh ^ (1 << order)
        paired = member(buddies, fresh)
        up = fresh[paired & ((fresh & (1 << order)) == 0)]
        alone, mates = fresh[~paired], buddies[~paired]
        joined = np.zeros(len(alone), bool)
        for lists in self._small:
            if len(lists[order]) and len(alone):
                hit = member(mates, lists[order])
                if hit.any():
                    lists[order] = lists[order][~member(lists[order], np.sort(mates[hit]))]
                    joined |= hit
        self._insert_by_type(alone[~joined], order)
        return np.concatenate((up, alone[joined] & ~np.int64(1 << order)))

    def _merge_few(self, fresh: list[int], order: int) -> list[int]:
        """The same in plain integers: arrays cost more than they save on a block or two."""
        size = 1 << order
        pairs = [pfn for pfn in fresh if pfn ^ size in fresh]
        up = [pfn for pfn in pairs if not pfn & size]
        for pfn in fresh:
            if pfn in pairs:
                continue
            if self._take_block(pfn ^ size, order):
                up.append(pfn & ~size)
            else:
                self._insert_by_type(np.array([pfn], np.int64), order)
        return up

    def _take_block(self, pfn: int, order: int) -> bool:
        """A free block off its list; False where it is not free."""
        for lists in self._small:
            starts = lists[order]
            at = int(starts.searchsorted(pfn))
            if at < len(starts) and starts[at] == pfn:
                lists[order] = np.concatenate((starts[:at], starts[at + 1 :]))
                return True
        return False

    def _insert_by_type(self, starts: Pfns, order: int) -> None:
        if not len(starts):
            return
        types = self.types_of(starts)
        for migratetype in np.flatnonzero(np.bincount(types)):
            self._insert(starts[types == migratetype], order, MigrateType(int(migratetype)))

    def _insert_runs_by_type(self, runs: Extents) -> None:
        """Runs of the largest order go to the list of each block's type."""
        if not len(runs.start):
            return
        if self.all_movable(runs):
            self._insert_runs(runs, MigrateType.MOVABLE)
            return
        blocks = runs.chopped(MAX_BLOCK)
        types = self.types_of(blocks.start)
        for migratetype in np.flatnonzero(np.bincount(types)):
            self._insert_runs(blocks.select(types == migratetype), MigrateType(int(migratetype)))

    def _insert(self, starts: Pfns, order: int, migratetype: MigrateType) -> None:
        lists = self._small[migratetype]
        if not len(lists[order]):
            lists[order] = np.sort(starts) if len(starts) > 1 else starts
        else:
            lists[order] = np.sort(np.concatenate((lists[order], starts)), kind="stable")

    def _insert_runs(self, runs: Extents, migratetype: MigrateType) -> None:
        self._runs[migratetype] = Extents.concat([self._runs[migratetype], runs]).coalesced()
