"""The counters: one table of items in the order the kernel prints them.

An item is declared once and carries its own text, so /proc/vmstat, /proc/zoneinfo and
node*/vmstat share it (mm/vmstat.c: vmstat_text[] and the four enums beside it).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np
import numpy.typing as npt

from vmfs.kernel import Feature, Kernel

Counts = npt.NDArray[np.int64]


class Scope(Enum):
    """Where a counter lives, and the section of /proc/vmstat it is printed in."""

    ZONE = auto()
    NUMA = auto()
    NODE = auto()
    LIMIT = auto()
    EVENT = auto()


ZONE, NUMA, NODE, LIMIT, EVENT = Scope


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    """`shows` names the item whose count is printed here, where a release moved an item."""

    scope: Scope
    needs: Feature = Feature.BASE
    text: str = ""
    shows: str = ""


class Item(Enum):
    """Every counter. Pages, unless the name or the kernel's comment says otherwise.

    LIMIT items are computed at read time and have no storage.
    """

    def __init__(self, row: _Row) -> None:
        self.scope = row.scope
        self.needs = row.needs
        self.text = row.text or (row.shows or self.name).lower()
        self.shows = row.shows

    @property
    def stored(self) -> Item:
        """The item that holds the count."""
        return Item[self.shows] if self.shows else self

    NR_FREE_PAGES = _Row(ZONE)
    NR_FREE_PAGES_BLOCKS = _Row(ZONE, Feature.NR_FREE_PAGES_BLOCKS)
    NR_ZONE_INACTIVE_ANON = _Row(ZONE)
    NR_ZONE_ACTIVE_ANON = _Row(ZONE)
    NR_ZONE_INACTIVE_FILE = _Row(ZONE)
    NR_ZONE_ACTIVE_FILE = _Row(ZONE)
    NR_ZONE_UNEVICTABLE = _Row(ZONE)
    NR_ZONE_WRITE_PENDING = _Row(ZONE)
    NR_MLOCK = _Row(ZONE)
    NR_ZONE_PAGE_TABLE_PAGES = _Row(ZONE, Feature.PAGETABLES_PER_ZONE, text="nr_page_table_pages")
    NR_BOUNCE = _Row(ZONE, Feature.NR_BOUNCE)
    NR_ZSPAGES = _Row(ZONE)
    NR_FREE_CMA = _Row(ZONE)
    NR_UNACCEPTED = _Row(ZONE, Feature.UNACCEPTED_MEMORY)
    NUMA_HIT = _Row(NUMA, Feature.NUMA)
    NUMA_MISS = _Row(NUMA, Feature.NUMA)
    NUMA_FOREIGN = _Row(NUMA, Feature.NUMA)
    NUMA_INTERLEAVE = _Row(NUMA, Feature.NUMA)
    NUMA_LOCAL = _Row(NUMA, Feature.NUMA)
    NUMA_OTHER = _Row(NUMA, Feature.NUMA)
    NR_INACTIVE_ANON = _Row(NODE)
    NR_ACTIVE_ANON = _Row(NODE)
    NR_INACTIVE_FILE = _Row(NODE)
    NR_ACTIVE_FILE = _Row(NODE)
    NR_UNEVICTABLE = _Row(NODE)
    NR_SLAB_RECLAIMABLE = _Row(NODE)
    NR_SLAB_UNRECLAIMABLE = _Row(NODE)
    NR_ISOLATED_ANON = _Row(NODE)
    NR_ISOLATED_FILE = _Row(NODE)
    WORKINGSET_NODES = _Row(NODE)
    WORKINGSET_REFAULT_ANON = _Row(NODE)
    WORKINGSET_REFAULT_FILE = _Row(NODE)
    WORKINGSET_ACTIVATE_ANON = _Row(NODE)
    WORKINGSET_ACTIVATE_FILE = _Row(NODE)
    WORKINGSET_RESTORE_ANON = _Row(NODE)
    WORKINGSET_RESTORE_FILE = _Row(NODE)
    WORKINGSET_NODERECLAIM = _Row(NODE)
    NR_ANON_PAGES = _Row(NODE)
    NR_MAPPED = _Row(NODE)
    NR_FILE_PAGES = _Row(NODE)
    NR_DIRTY = _Row(NODE)
    NR_WRITEBACK = _Row(NODE)
    NR_WRITEBACK_TEMP = _Row(NODE, Feature.NR_WRITEBACK_TEMP)
    NR_SHMEM = _Row(NODE)
    NR_SHMEM_HUGEPAGES = _Row(NODE)
    NR_SHMEM_PMDMAPPED = _Row(NODE)
    NR_FILE_HUGEPAGES = _Row(NODE)
    NR_FILE_PMDMAPPED = _Row(NODE)
    NR_ANON_TRANSPARENT_HUGEPAGES = _Row(NODE)
    NR_VMSCAN_WRITE = _Row(NODE)
    NR_VMSCAN_IMMEDIATE_RECLAIM = _Row(NODE)
    NR_DIRTIED = _Row(NODE)
    NR_WRITTEN = _Row(NODE)
    NR_THROTTLED_WRITTEN = _Row(NODE, Feature.NR_THROTTLED_WRITTEN)
    NR_KERNEL_MISC_RECLAIMABLE = _Row(NODE)
    NR_FOLL_PIN_ACQUIRED = _Row(NODE)
    NR_FOLL_PIN_RELEASED = _Row(NODE)
    NR_VMALLOC = _Row(NODE, Feature.NR_VMALLOC_PER_NODE)
    NR_KERNEL_STACK = _Row(NODE)
    NR_PAGE_TABLE_PAGES = _Row(NODE, Feature.PAGETABLES_PER_NODE)
    NR_SEC_PAGE_TABLE_PAGES = _Row(NODE, Feature.SEC_PAGETABLES)
    NR_IOMMU_PAGES = _Row(NODE, Feature.NR_IOMMU_PAGES)
    NR_SWAPCACHED = _Row(NODE, Feature.NR_SWAPCACHED_PER_NODE)
    PGPROMOTE_SUCCESS = _Row(NODE, Feature.PGPROMOTE)
    PGPROMOTE_CANDIDATE = _Row(NODE, Feature.PGPROMOTE)
    PGPROMOTE_CANDIDATE_NRL = _Row(NODE, Feature.PGPROMOTE_NRL)
    PGDEMOTE_KSWAPD = _Row(NODE, Feature.PGDEMOTE_PER_NODE)
    PGDEMOTE_DIRECT = _Row(NODE, Feature.PGDEMOTE_PER_NODE)
    PGDEMOTE_KHUGEPAGED = _Row(NODE, Feature.PGDEMOTE_PER_NODE)
    PGDEMOTE_PROACTIVE = _Row(NODE, Feature.PROACTIVE_RECLAIM)
    PGSTEAL_KSWAPD = _Row(NODE, Feature.NODE_RECLAIM_COUNTERS)
    PGSTEAL_DIRECT = _Row(NODE, Feature.NODE_RECLAIM_COUNTERS)
    PGSTEAL_KHUGEPAGED = _Row(NODE, Feature.NODE_RECLAIM_COUNTERS)
    PGSTEAL_PROACTIVE = _Row(NODE, Feature.NODE_RECLAIM_COUNTERS)
    PGSTEAL_ANON = _Row(NODE, Feature.NODE_RECLAIM_COUNTERS)
    PGSTEAL_FILE = _Row(NODE, Feature.NODE_RECLAIM_COUNTERS)
    PGSCAN_KSWAPD = _Row(NODE, Feature.NODE_RECLAIM_COUNTERS)
    PGSCAN_DIRECT = _Row(NODE, Feature.NODE_RECLAIM_COUNTERS)
    PGSCAN_KHUGEPAGED = _Row(NODE, Feature.NODE_RECLAIM_COUNTERS)
    PGSCAN_PROACTIVE = _Row(NODE, Feature.NODE_RECLAIM_COUNTERS)
    PGSCAN_ANON = _Row(NODE, Feature.NODE_RECLAIM_COUNTERS)
    PGSCAN_FILE = _Row(NODE, Feature.NODE_RECLAIM_COUNTERS)
    PGREFILL = _Row(NODE, Feature.NODE_RECLAIM_COUNTERS)
    NR_HUGETLB = _Row(NODE, Feature.NR_HUGETLB)
    NR_BALLOON_PAGES = _Row(NODE, Feature.NR_BALLOON)
    NR_KERNEL_FILE_PAGES = _Row(NODE, Feature.NR_KERNEL_FILE_PAGES)
    NR_GPU_ACTIVE = _Row(NODE, Feature.NR_GPU)
    NR_GPU_RECLAIM = _Row(NODE, Feature.NR_GPU)
    NR_DIRTY_THRESHOLD = _Row(LIMIT)
    NR_DIRTY_BACKGROUND_THRESHOLD = _Row(LIMIT)
    NR_MEMMAP_PAGES = _Row(LIMIT, Feature.NR_MEMMAP)
    NR_MEMMAP_BOOT_PAGES = _Row(LIMIT, Feature.NR_MEMMAP)
    PGPGIN = _Row(EVENT)
    PGPGOUT = _Row(EVENT)
    PSWPIN = _Row(EVENT)
    PSWPOUT = _Row(EVENT)
    PGALLOC_DMA = _Row(EVENT)
    PGALLOC_DMA32 = _Row(EVENT, Feature.ZONE_DMA32)
    PGALLOC_NORMAL = _Row(EVENT)
    PGALLOC_HIGH = _Row(EVENT, Feature.HIGHMEM)
    PGALLOC_MOVABLE = _Row(EVENT)
    PGALLOC_DEVICE = _Row(EVENT, Feature.DEVICE_EVENTS)
    ALLOCSTALL_DMA = _Row(EVENT)
    ALLOCSTALL_DMA32 = _Row(EVENT, Feature.ZONE_DMA32)
    ALLOCSTALL_NORMAL = _Row(EVENT)
    ALLOCSTALL_HIGH = _Row(EVENT, Feature.HIGHMEM)
    ALLOCSTALL_MOVABLE = _Row(EVENT)
    ALLOCSTALL_DEVICE = _Row(EVENT, Feature.DEVICE_EVENTS)
    PGSKIP_DMA = _Row(EVENT)
    PGSKIP_DMA32 = _Row(EVENT, Feature.ZONE_DMA32)
    PGSKIP_NORMAL = _Row(EVENT)
    PGSKIP_HIGH = _Row(EVENT, Feature.HIGHMEM)
    PGSKIP_MOVABLE = _Row(EVENT)
    PGSKIP_DEVICE = _Row(EVENT, Feature.DEVICE_EVENTS)
    PGFREE = _Row(EVENT)
    PGACTIVATE = _Row(EVENT)
    PGDEACTIVATE = _Row(EVENT)
    PGLAZYFREE = _Row(EVENT)
    PGFAULT = _Row(EVENT)
    PGMAJFAULT = _Row(EVENT)
    PGLAZYFREED = _Row(EVENT)
    EVENT_PGREFILL = _Row(EVENT, Feature.RECLAIM_EVENTS, shows="PGREFILL")
    PGREUSE = _Row(EVENT)
    EVENT_PGSTEAL_KSWAPD = _Row(EVENT, Feature.RECLAIM_EVENTS, shows="PGSTEAL_KSWAPD")
    EVENT_PGSTEAL_DIRECT = _Row(EVENT, Feature.RECLAIM_EVENTS, shows="PGSTEAL_DIRECT")
    EVENT_PGDEMOTE_KSWAPD = _Row(EVENT, Feature.PGDEMOTE_EVENTS, shows="PGDEMOTE_KSWAPD")
    EVENT_PGDEMOTE_DIRECT = _Row(EVENT, Feature.PGDEMOTE_EVENTS, shows="PGDEMOTE_DIRECT")
    EVENT_PGSTEAL_KHUGEPAGED = _Row(EVENT, Feature.KHUGEPAGED_RECLAIM_EVENTS, shows="PGSTEAL_KHUGEPAGED")
    EVENT_PGSCAN_KSWAPD = _Row(EVENT, Feature.RECLAIM_EVENTS, shows="PGSCAN_KSWAPD")
    EVENT_PGSCAN_DIRECT = _Row(EVENT, Feature.RECLAIM_EVENTS, shows="PGSCAN_DIRECT")
    EVENT_PGSCAN_KHUGEPAGED = _Row(EVENT, Feature.KHUGEPAGED_RECLAIM_EVENTS, shows="PGSCAN_KHUGEPAGED")
    PGSCAN_DIRECT_THROTTLE = _Row(EVENT)
    EVENT_PGSCAN_ANON = _Row(EVENT, Feature.RECLAIM_EVENTS, shows="PGSCAN_ANON")
    EVENT_PGSCAN_FILE = _Row(EVENT, Feature.RECLAIM_EVENTS, shows="PGSCAN_FILE")
    EVENT_PGSTEAL_ANON = _Row(EVENT, Feature.RECLAIM_EVENTS, shows="PGSTEAL_ANON")
    EVENT_PGSTEAL_FILE = _Row(EVENT, Feature.RECLAIM_EVENTS, shows="PGSTEAL_FILE")
    ZONE_RECLAIM_SUCCESS = _Row(EVENT, Feature.ZONE_RECLAIM_SUCCESS)
    ZONE_RECLAIM_FAILED = _Row(EVENT, Feature.NUMA)
    PGINODESTEAL = _Row(EVENT)
    SLABS_SCANNED = _Row(EVENT)
    KSWAPD_INODESTEAL = _Row(EVENT)
    KSWAPD_LOW_WMARK_HIT_QUICKLY = _Row(EVENT)
    KSWAPD_HIGH_WMARK_HIT_QUICKLY = _Row(EVENT)
    PAGEOUTRUN = _Row(EVENT)
    PGROTATED = _Row(EVENT)
    DROP_PAGECACHE = _Row(EVENT)
    DROP_SLAB = _Row(EVENT)
    OOM_KILL = _Row(EVENT)
    NUMA_PTE_UPDATES = _Row(EVENT, Feature.NUMA)
    NUMA_HUGE_PTE_UPDATES = _Row(EVENT, Feature.NUMA)
    NUMA_HINT_FAULTS = _Row(EVENT, Feature.NUMA)
    NUMA_HINT_FAULTS_LOCAL = _Row(EVENT, Feature.NUMA)
    NUMA_PAGES_MIGRATED = _Row(EVENT, Feature.NUMA)
    PGMIGRATE_SUCCESS = _Row(EVENT)
    PGMIGRATE_FAIL = _Row(EVENT)
    THP_MIGRATION_SUCCESS = _Row(EVENT)
    THP_MIGRATION_FAIL = _Row(EVENT)
    THP_MIGRATION_SPLIT = _Row(EVENT)
    COMPACT_MIGRATE_SCANNED = _Row(EVENT)
    COMPACT_FREE_SCANNED = _Row(EVENT)
    COMPACT_ISOLATED = _Row(EVENT)
    COMPACT_STALL = _Row(EVENT)
    COMPACT_FAIL = _Row(EVENT)
    COMPACT_SUCCESS = _Row(EVENT)
    COMPACT_DAEMON_WAKE = _Row(EVENT)
    COMPACT_DAEMON_MIGRATE_SCANNED = _Row(EVENT)
    COMPACT_DAEMON_FREE_SCANNED = _Row(EVENT)
    HTLB_BUDDY_ALLOC_SUCCESS = _Row(EVENT)
    HTLB_BUDDY_ALLOC_FAIL = _Row(EVENT)
    CMA_ALLOC_SUCCESS = _Row(EVENT, Feature.CMA)
    CMA_ALLOC_FAIL = _Row(EVENT, Feature.CMA)
    UNEVICTABLE_PGS_CULLED = _Row(EVENT)
    UNEVICTABLE_PGS_SCANNED = _Row(EVENT)
    UNEVICTABLE_PGS_RESCUED = _Row(EVENT)
    UNEVICTABLE_PGS_MLOCKED = _Row(EVENT)
    UNEVICTABLE_PGS_MUNLOCKED = _Row(EVENT)
    UNEVICTABLE_PGS_CLEARED = _Row(EVENT)
    UNEVICTABLE_PGS_STRANDED = _Row(EVENT)
    THP_FAULT_ALLOC = _Row(EVENT)
    THP_FAULT_FALLBACK = _Row(EVENT)
    THP_FAULT_FALLBACK_CHARGE = _Row(EVENT)
    THP_COLLAPSE_ALLOC = _Row(EVENT)
    THP_COLLAPSE_ALLOC_FAILED = _Row(EVENT)
    THP_FILE_ALLOC = _Row(EVENT)
    THP_FILE_FALLBACK = _Row(EVENT)
    THP_FILE_FALLBACK_CHARGE = _Row(EVENT)
    THP_FILE_MAPPED = _Row(EVENT)
    THP_SPLIT_PAGE = _Row(EVENT)
    THP_SPLIT_PAGE_FAILED = _Row(EVENT)
    THP_DEFERRED_SPLIT_PAGE = _Row(EVENT)
    THP_UNDERUSED_SPLIT_PAGE = _Row(EVENT, Feature.THP_UNDERUSED)
    THP_SPLIT_PMD = _Row(EVENT)
    THP_SCAN_EXCEED_NONE_PTE = _Row(EVENT, Feature.THP_SCAN_EXCEED)
    THP_SCAN_EXCEED_SWAP_PTE = _Row(EVENT, Feature.THP_SCAN_EXCEED)
    THP_SCAN_EXCEED_SHARE_PTE = _Row(EVENT, Feature.THP_SCAN_EXCEED)
    THP_SPLIT_PUD = _Row(EVENT, Feature.THP_SPLIT_PUD)
    THP_ZERO_PAGE_ALLOC = _Row(EVENT)
    THP_ZERO_PAGE_ALLOC_FAILED = _Row(EVENT)
    THP_SWPOUT = _Row(EVENT)
    THP_SWPOUT_FALLBACK = _Row(EVENT)
    BALLOON_INFLATE = _Row(EVENT)
    BALLOON_DEFLATE = _Row(EVENT)
    BALLOON_MIGRATE = _Row(EVENT)
    SWAP_RA = _Row(EVENT)
    SWAP_RA_HIT = _Row(EVENT)
    SWPIN_ZERO = _Row(EVENT, Feature.SWAP_ZEROMAP)
    SWPOUT_ZERO = _Row(EVENT, Feature.SWAP_ZEROMAP)
    KSM_SWPIN_COPY = _Row(EVENT, Feature.KSM_EVENTS)
    COW_KSM = _Row(EVENT, Feature.KSM_EVENTS)
    ZSWPIN = _Row(EVENT, Feature.ZSWAP_EVENTS)
    ZSWPOUT = _Row(EVENT, Feature.ZSWAP_EVENTS)
    ZSWPWB = _Row(EVENT, Feature.ZSWPWB)
    DIRECT_MAP_LEVEL2_SPLITS = _Row(EVENT, Feature.DIRECT_MAP_EVENTS)
    DIRECT_MAP_LEVEL3_SPLITS = _Row(EVENT, Feature.DIRECT_MAP_EVENTS)
    DIRECT_MAP_LEVEL2_COLLAPSES = _Row(EVENT, Feature.DIRECT_MAP_COLLAPSES)
    DIRECT_MAP_LEVEL3_COLLAPSES = _Row(EVENT, Feature.DIRECT_MAP_COLLAPSES)
    NR_UNSTABLE = _Row(LIMIT)


# Items stored per node although some releases print them among the events.
COLUMN: dict[Item, int] = {
    item: column
    for scope in Scope
    for column, item in enumerate(i for i in Item if i.scope is scope and not i.shows)
}


def columns(scope: Scope) -> int:
    """How many items of that scope are stored."""
    return sum(1 for item in COLUMN if item.scope is scope)


def items(kernel: Kernel, *scopes: Scope) -> Iterator[Item]:
    """The items that this kernel prints in these sections, in its order."""
    return (i for i in Item if i.scope in scopes and i.needs in kernel.features)
