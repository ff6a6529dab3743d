"""The migrate types of a zone's page blocks (include/linux/pageblock-flags.h)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from vmfs.mm.extents import Extents, Pfns, distinct
from vmfs.mm.mmzone import MigrateType

Types = npt.NDArray[np.uint8]

_TYPES: Types = np.array([MigrateType.MOVABLE, *MigrateType], np.uint8)  # what is stored -> what it means


@dataclass(slots=True, eq=False)
class PageBlocks:
    """`start_pfn` and `end_pfn` bound the zone; `pageblock_order` is 9, or 10 with 4 MiB pages."""

    start_pfn: int
    end_pfn: int
    pageblock_order: int = 9
    _types: Types = field(init=False)
    _blocks: list[int] = field(init=False)

    def __post_init__(self) -> None:
        first = self.start_pfn >> self.pageblock_order
        last = -(-self.end_pfn >> self.pageblock_order)
        # Zero means Movable: an untouched zone's table is never paged in.
        self._types = np.zeros(max(last - first, 0), np.uint8)
        self._blocks = [0] * len(MigrateType)

    def nr_pageblocks(self, migratetype: MigrateType) -> int:
        return self._blocks[migratetype]

    def set_nr_pageblocks(self, migratetype: MigrateType, count: int) -> None:
        """How many blocks pagetypeinfo counts before the first change of type."""
        self._blocks[migratetype] = count

    def types_of(self, pfns: Pfns) -> Types:
        """get_pageblock_migratetype() of each frame."""
        return self._types_at(self._index(pfns))

    def set_types(self, pfns: Pfns, migratetype: MigrateType) -> None:
        """set_pageblock_migratetype() of the blocks that hold these frames."""
        index = distinct(self._index(pfns))
        for previous, count in enumerate(np.bincount(self._types_at(index), minlength=len(MigrateType))):
            self._blocks[previous] -= int(count)
        self._blocks[migratetype] += len(index)
        self._types[index] = 0 if migratetype is MigrateType.MOVABLE else migratetype + 1

    def all_movable(self, runs: Extents) -> bool:
        """Whether no block of these runs has another type."""
        first, last = self._index(runs.start), self._index(runs.end - 1)
        return not any(self._types[a : b + 1].any() for a, b in zip(first, last, strict=True))

    def _types_at(self, index: Pfns) -> Types:
        return _TYPES[self._types[index]]

    def _index(self, pfns: Pfns) -> Pfns:
        return (pfns >> self.pageblock_order) - (self.start_pfn >> self.pageblock_order)
