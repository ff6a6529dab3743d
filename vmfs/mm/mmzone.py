"""Nodes and zones: spans, counters, and what belongs to them (include/linux/mmzone.h)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vmfs.kernel import Feature, Kernel
from vmfs.mm.extents import Extents
from vmfs.mm.fresh import Fresh
from vmfs.mm.generations import Generations
from vmfs.mm.vmstat import COLUMN, Counts, Item, Scope, columns

if TYPE_CHECKING:
    from vmfs.mm.buddy import Buddy
    from vmfs.mm.lru import LruVec
    from vmfs.mm.pcp import PerCpuPages

PAGE_SHIFT = 12
PAGE_SIZE = 1 << PAGE_SHIFT
KBYTES_PER_PAGE = PAGE_SIZE >> 10  # what pgpgin and pgpgout count
MAX_PAGE_ORDER = 10
NR_PAGE_ORDERS = 11
MIGRATE_PCPTYPES = 3  # the first of the types below, which have per-cpu lists


class MigrateType(IntEnum):
    """In the order of pagetypeinfo's columns; CMA is printed where the kernel has it."""

    UNMOVABLE = 0
    MOVABLE = 1
    RECLAIMABLE = 2
    HIGHATOMIC = 3
    CMA = 4
    ISOLATE = 5


def zone_names(kernel: Kernel) -> tuple[str, ...]:
    """mm/page_alloc.c: zone_names[], in index order."""
    named = (
        ("DMA", Feature.BASE),
        ("DMA32", Feature.ZONE_DMA32),
        ("Normal", Feature.BASE),
        ("HighMem", Feature.HIGHMEM),
        ("Movable", Feature.BASE),
        ("Device", Feature.ZONE_DEVICE),
    )
    return tuple(name for name, needs in named if needs in kernel.features)


LONG_AGO_MICROSECS = -(1 << 40)


class Watermark(NamedTuple):
    """zone->_watermark[], in pages, without the boost."""

    min: int = 0
    low: int = 0
    high: int = 0
    promo: int = 0


def _no_slab() -> dict[bool, Extents]:
    return {False: Extents.empty(), True: Extents.empty()}


@dataclass(slots=True, eq=False)
class Zone:
    """struct zone. All sizes in pages.

    Watermarks, reserves, pageset limits and the statistics threshold are stored as the kernel
    stores them: they keep the value of their last set-up while managed_pages, the boost or the
    CPUs move on. vmfs/mm/wmark.py, pageset.py and vmstat_threshold.py set them up.
    """

    nid: int
    index: int
    name: str
    zone_start_pfn: int
    spanned_pages: int
    present_pages: int
    managed_pages: int
    cma_pages: int
    buddy: Buddy
    pageset: PerCpuPages
    lruvec: LruVec
    watermark: Watermark = field(default_factory=Watermark)
    watermark_boost: int = 0
    compact_considered: int = 0
    compact_defer_shift: int = 0
    lowmem_reserve: tuple[int, ...] = ()
    pageset_batch: int = 1
    pageset_high_min: int = 0
    pageset_high_max: int = 0
    pageset_decayed: bool = False  # since these moved, the `high` of every CPU has sunk to its least
    stat_threshold: int = 0
    slab: dict[bool, Extents] = field(default_factory=_no_slab)  # by "reclaimable"
    other: Extents = field(default_factory=Extents.empty)  # the kernel's own, in no counter here
    stat: Counts = field(default_factory=lambda: np.zeros(columns(Scope.ZONE), np.int64))
    numa: Counts = field(default_factory=lambda: np.zeros(columns(Scope.NUMA), np.int64))
    fresh: Fresh = field(default_factory=Fresh)

    @property
    def free_area(self) -> Buddy:
        """The free lists, without the frames that are promised."""
        if self.fresh.owed:
            self.fresh.cut(self)
        return self.buddy

    @property
    def lru(self) -> LruVec:
        """The lists of reclaim, with all that tasks were promised."""
        if self.fresh.shares:
            self.fresh.settle(self)
        return self.lruvec

    @property
    def populated(self) -> bool:
        return self.present_pages > 0

    @property
    def is_highmem(self) -> bool:
        return self.name == "HighMem"

    @property
    def event_name(self) -> str:
        """The suffix of pgalloc_*, allocstall_* and pgskip_*, in capitals."""
        return "HIGH" if self.is_highmem else self.name.upper()

    def lru_pages(self, lru: int) -> int:
        """Pages in the batches of one list; its counter says the same once it has been counted."""
        return sum(batch.pages for batch in self.lru.lists[lru])

    @property
    def end_pfn(self) -> int:
        return self.zone_start_pfn + self.spanned_pages

    @property
    def free_pages(self) -> int:
        """NR_FREE_PAGES, read through from the free lists."""
        return self.buddy.nr_free_pages - self.fresh.owed

    def page_state(self, item: Item) -> int:
        """zone_page_state(), never below 0, and the zone's NUMA events."""
        if item is Item.NR_FREE_PAGES:
            return self.free_pages
        if item is Item.NR_FREE_PAGES_BLOCKS:
            return self.free_area.nr_free_pages_blocks
        counts = self.numa if item.scope is Scope.NUMA else self.stat
        return max(int(counts[COLUMN[item]]), 0)

    def mod_state(self, item: Item, delta: int) -> None:
        (self.numa if item.scope is Scope.NUMA else self.stat)[COLUMN[item]] += delta


@dataclass(slots=True, eq=False)
class Node:
    """struct pglist_data."""

    nid: int
    cpus: tuple[int, ...]
    distances: tuple[int, ...]
    zones: tuple[Zone, ...]
    stat: Counts = field(default_factory=lambda: np.zeros(columns(Scope.NODE), np.int64))
    kswapd_failures: int = 0
    kswapd_slept_microsecs: int | None = LONG_AGO_MICROSECS  # since when; not while it has work left
    compacted_at: tuple[int, ...] = ()  # what kcompactd found when it last looked of its own accord
    compaction_defer_until: int = 0  # second of uptime, where that had not helped
    totalreserve_pages: int = 0  # of the last set-up, as the watermarks
    anon_cost: int = 0  # of reclaiming either kind lately, of its lruvec
    file_cost: int = 0
    refaults: tuple[int, int] = (0, 0)  # activated, of anonymous pages and files, when reclaim last ended
    nonresident_age: int = 0  # workingset.py: how many pages went, or were activated
    generations: Generations = field(default_factory=Generations)  # lru_gen

    @property
    def present_pages(self) -> int:
        return sum(z.present_pages for z in self.zones)

    @property
    def managed_pages(self) -> int:
        return sum(z.managed_pages for z in self.zones)

    @property
    def free_pages(self) -> int:
        return sum(z.free_pages for z in self.zones)

    def page_state(self, item: Item) -> int:
        """node_page_state(); a zone or NUMA item is summed over the zones.

        Never below 0: of a capture, what a node counts and what its zones count are off by what the CPUs had
        not handed in.
        """
        item = item.stored
        if item.scope is Scope.NODE:
            return max(int(self.stat[COLUMN[item]]), 0)
        return sum(z.page_state(item) for z in self.zones)

    def mod_state(self, item: Item, delta: int) -> None:
        self.stat[COLUMN[item]] += delta
