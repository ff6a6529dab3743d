"""Runs of page frames: the unit in which memory is owned, so that cost follows use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Pfns = npt.NDArray[np.int64]

Mask = npt.NDArray[np.bool_]

_NONE: Pfns = np.empty(0, np.int64)
_FEW = 4  # runs up to which plain integers are faster than arrays
_LAST_PFN = 1 << 52  # beyond every physical address


def distinct(values: Pfns) -> Pfns:
    """Each value once, ascending. Faster than np.unique() where they are nearly in order."""
    ordered = np.sort(values, kind="stable")
    return ordered[np.concatenate(([True], ordered[1:] != ordered[:-1]))] if len(ordered) else ordered


def member(values: Pfns, sorted_values: Pfns) -> npt.NDArray[np.bool_]:
    """Which of `values` are in the sorted array."""
    if not len(sorted_values):
        return np.zeros(len(values), bool)
    index = np.minimum(np.searchsorted(sorted_values, values), len(sorted_values) - 1)
    found: npt.NDArray[np.bool_] = sorted_values[index] == values
    return found


class Extents(NamedTuple):
    """Disjoint runs of page frames, `length[i]` pages from `start[i]`; the order is the owner's."""

    start: Pfns
    length: Pfns

    @classmethod
    def empty(cls) -> Extents:
        return cls(_NONE, _NONE)

    @classmethod
    def run(cls, start: int, pages: int) -> Extents:
        """One run; empty when `pages` is 0."""
        if pages <= 0:
            return cls.empty()
        return cls(np.array([start], np.int64), np.array([pages], np.int64))

    @classmethod
    def blocks(cls, starts: Pfns, order: int) -> Extents:
        return cls(starts, np.full(len(starts), 1 << order, np.int64))

    @classmethod
    def concat(cls, parts: Iterable[Extents]) -> Extents:
        kept = [p for p in parts if len(p.start)]
        if len(kept) == 1:
            return kept[0]
        if not kept:
            return cls.empty()
        return cls(np.concatenate([p.start for p in kept]), np.concatenate([p.length for p in kept]))

    @property
    def pages(self) -> int:
        if len(self.length) == 1:  # most are, and a sum of an array takes ten times as long
            return int(self.length[0])
        return int(np.add.reduce(self.length))

    @property
    def end(self) -> Pfns:
        return self.start + self.length

    def take(self, pages: int) -> tuple[Extents, Extents]:
        """The first `pages` pages and the rest."""
        if pages <= 0:
            return Extents.empty(), self
        total = np.cumsum(self.length)
        if not len(total) or pages >= total[-1]:
            return self, Extents.empty()
        cut = int(np.searchsorted(total, pages, side="left"))
        inside = pages - int(total[cut] - self.length[cut])
        head_length = self.length[: cut + 1].copy()
        head_length[cut] = inside
        if inside == self.length[cut]:
            return Extents(self.start[: cut + 1], head_length), self._from(cut + 1)
        tail_start, tail_length = self.start[cut:].copy(), self.length[cut:].copy()
        tail_start[0] += inside
        tail_length[0] -= inside
        return Extents(self.start[: cut + 1], head_length), Extents(tail_start, tail_length)

    def _from(self, index: int) -> Extents:
        return Extents(self.start[index:], self.length[index:])

    def select(self, mask: Mask) -> Extents:
        return Extents(self.start[mask], self.length[mask])

    def coalesced(self) -> Extents:
        """Sorted by address, neighbours joined."""
        if len(self.start) < 2:
            return self
        order = np.argsort(self.start, kind="stable")
        start, end = self.start[order], self.end[order]
        first = np.concatenate(([True], start[1:] != end[:-1]))
        last = np.concatenate((first[1:], [True]))
        return Extents(start[first], end[last] - start[first])

    def overlaps(self, other: Extents) -> Mask:
        """Which runs share a page with `other`, which is coalesced."""
        if not len(other.start):
            return np.zeros(len(self.start), bool)
        index = np.searchsorted(other.end, self.start, side="right")
        near = np.minimum(index, len(other.start) - 1)
        hit: Mask = (index < len(other.start)) & (other.start[near] < self.end)
        return hit

    def within(self, other: Extents) -> Extents:
        """The pages that are also in `other`, which is coalesced; the order of runs is kept."""
        first = np.searchsorted(other.end, self.start, side="right")
        pieces = np.maximum(np.searchsorted(other.start, self.end, side="left") - first, 0)
        which = np.repeat(np.arange(len(pieces)), pieces)
        nth = np.arange(len(which)) - np.repeat(np.cumsum(pieces) - pieces, pieces) + first[which]
        low = np.maximum(self.start[which], other.start[nth])
        return Extents(low, np.minimum(self.end[which], other.end[nth]) - low)

    def minus(self, other: Extents) -> Extents:
        """The pages that are not in `other`, which is coalesced; the order of runs is kept."""
        edge = np.array([_LAST_PFN], np.int64)
        low = np.concatenate((-edge, other.end))
        return self.within(Extents(low, np.concatenate((other.start, edge)) - low))

    def chopped(self, size: int) -> Extents:
        """Cut at every multiple of `size`, so that no run crosses a boundary."""
        first = self.start // size
        pieces = (self.end - 1) // size - first + 1
        if not len(pieces) or int(pieces.max()) == 1:
            return self
        which = np.repeat(np.arange(len(pieces)), pieces)
        nth = np.arange(len(which)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        low = np.maximum(self.start[which], (first[which] + nth) * size)
        high = np.minimum(self.end[which], (first[which] + nth + 1) * size)
        return Extents(low, high - low)

    def aligned(self, order: int) -> tuple[list[Pfns], Extents]:
        """Decompose into maximal aligned blocks: starts for each order below `order`, and whole runs.

        The runs are aligned to `1 << order` at both ends. mm/page_alloc.c: split the other way round.
        """
        if len(self.start) <= _FEW:
            return self._few_aligned(order)
        low, high = self.start.copy(), self.end
        small: list[Pfns] = []
        for o in range(order):
            size = 1 << o
            head = ((low & size) != 0) & (low + size <= high)
            starts = low[head]
            low = low + np.where(head, size, 0)
            tail = ((high & size) != 0) & (high - size >= low)
            high = high - np.where(tail, size, 0)
            small.append(np.concatenate((starts, high[tail])))
        whole = high > low
        return small, Extents(low[whole], (high - low)[whole])

    def _few_aligned(self, order: int) -> tuple[list[Pfns], Extents]:
        # The same in plain integers: arrays cost more than they save on a run or two.
        heads: list[list[int]] = [[] for _ in range(order)]
        tails: list[list[int]] = [[] for _ in range(order)]
        whole: list[tuple[int, int]] = []
        for start, length in zip(self.start.tolist(), self.length.tolist(), strict=True):
            low, high = start, start + length
            for o in range(order):
                if low & (1 << o) and low + (1 << o) <= high:
                    heads[o].append(low)
                    low += 1 << o
                if high & (1 << o) and high - (1 << o) >= low:
                    high -= 1 << o
                    tails[o].append(high)
            if high > low:
                whole.append((low, high - low))
        small = [
            np.array(head + tail, np.int64) if head or tail else _NONE
            for head, tail in zip(heads, tails, strict=True)
        ]
        runs = np.array(whole, np.int64).reshape(-1, 2)
        return small, Extents(runs[:, 0].copy(), runs[:, 1].copy()) if whole else Extents.empty()
