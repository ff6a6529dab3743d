"""Which release, and which visible features it has.

No other module compares release numbers: it asks `feature in kernel.features`.
A row of a table names the feature it needs; a rule that changed is named by a feature.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Self

Release = tuple[int, int]

RELEASES: tuple[Release, ...] = ((5, 10), (6, 1), (6, 12), (7, 2))
"""The releases that recordings of real kernels back."""


class Arch(Enum):
    """The two x86 layouts; the value is what `uname -m` prints."""

    X86_64 = "x86_64"
    I386 = "i686"


class Feature(Enum):
    """A visible change: first release, last release, architecture; None stands for "no bound".

    The first (last) of the known releases that shows (lacks) the change is named, since nothing
    in between can be asked for.
    """

    def __new__(cls, *_span: object) -> Self:
        member = object.__new__(cls)
        member._value_ = len(cls.__members__)  # two features of one span are still two features
        return member

    def __init__(self, first: Release | None, last: Release | None, arch: Arch | None) -> None:
        self.first, self.last, self.arch = first, last, arch

    BASE = (None, None, None)

    # Architecture and configuration.
    NUMA = (None, None, Arch.X86_64)
    ZONE_DMA32 = (None, None, Arch.X86_64)
    ZONE_DEVICE = (None, None, Arch.X86_64)
    HIGHMEM = (None, None, Arch.I386)
    PAE = (None, (0, 0), Arch.I386)  # no release by itself: a capture shows it
    SPARSEMEM = (None, None, Arch.X86_64)

    # Counters of /proc/vmstat, zoneinfo and node*/vmstat.
    NR_FREE_PAGES_BLOCKS = ((7, 2), None, None)
    PAGETABLES_PER_ZONE = (None, (5, 10), None)
    NR_BOUNCE = (None, (6, 12), None)
    UNACCEPTED_MEMORY = ((6, 12), None, None)
    NR_WRITEBACK_TEMP = (None, (6, 12), None)
    NR_THROTTLED_WRITTEN = ((6, 1), None, None)
    NR_VMALLOC_PER_NODE = ((7, 2), None, None)
    PAGETABLES_PER_NODE = ((6, 1), None, None)
    SEC_PAGETABLES = ((6, 1), None, None)
    NR_IOMMU_PAGES = ((6, 12), None, None)
    NR_SWAPCACHED_PER_NODE = ((6, 1), None, None)
    PGPROMOTE = ((6, 1), None, Arch.X86_64)
    PGPROMOTE_NRL = ((7, 2), None, None)
    PGDEMOTE_PER_NODE = ((6, 12), None, None)
    PROACTIVE_RECLAIM = ((7, 2), None, None)
    NODE_RECLAIM_COUNTERS = ((7, 2), None, None)
    NR_HUGETLB = ((7, 2), None, None)
    NR_BALLOON = ((7, 2), None, None)
    NR_KERNEL_FILE_PAGES = ((7, 2), None, None)
    NR_GPU = ((7, 2), None, None)
    NR_MEMMAP = ((6, 12), None, None)
    DEVICE_EVENTS = ((6, 1), None, Arch.X86_64)
    RECLAIM_EVENTS = (None, (6, 12), None)
    PGDEMOTE_EVENTS = ((6, 1), (6, 1), None)
    KHUGEPAGED_RECLAIM_EVENTS = ((6, 12), (6, 12), None)
    ZONE_RECLAIM_SUCCESS = ((6, 12), None, None)
    CMA = ((7, 2), None, None)
    THP_UNDERUSED = ((6, 12), None, None)
    THP_SCAN_EXCEED = ((6, 1), None, None)
    THP_SPLIT_PUD = (None, None, Arch.X86_64)
    SWAP_ZEROMAP = ((6, 12), None, None)
    KSM_EVENTS = ((6, 1), None, None)
    ZSWAP_EVENTS = ((6, 1), None, None)
    ZSWPWB = ((6, 12), None, None)
    DIRECT_MAP_EVENTS = ((6, 1), None, None)
    DIRECT_MAP_COLLAPSES = ((7, 2), None, None)

    # Reclaim: since 5.15 inodes with page cache are kept off the inode shrinker's list.
    INODE_SHRINKER_DROPS_PAGES = (None, (5, 10), None)
    # Pages that were looked at in vain count as a cost, a page that was written as 32 of them.
    RECLAIM_COST_ROTATIONS = ((6, 12), None, None)
    # lru_gen: only what had been in use before it went is restored.
    LRU_GEN_RESTORES_WORKINGSET = ((7, 2), None, None)
    # Compaction has scanned all pages of a free block that it skips; before, one.
    COMPACT_COUNTS_FREE_PAGES = ((6, 12), None, None)
    # kcompactd, of its own accord: a new compaction_proactiveness is acted on at once,
    PROACTIVE_COMPACTION_TRIGGERED = ((6, 1), None, None)
    # what is scanned counts as the daemon's,
    PROACTIVE_COMPACTION_COUNTED = ((6, 12), None, None)
    # and fragmentation may be brought down to nothing; before, to 5 per cent.
    PROACTIVE_COMPACTION_UNCAPPED = ((7, 2), None, None)
    # lru_gen: what drop_caches cannot drop is counted as deactivated.
    LRU_GEN_COUNTS_DEACTIVATED = ((7, 2), None, None)
    # lru_gen: a round scans a part of what there was when it began; before, of what is left.
    LRU_GEN_BUDGET_AT_START = ((7, 2), None, None)
    # lru_gen: what is faulted in starts below the youngest, where the first walk over page tables puts it.
    LRU_GEN_WALK_PROMOTES_FAULTED = ((7, 2), None, None)
    # lru_gen: a generation begins by how many pages the youngest and the oldest have.
    LRU_GEN_AGES_BY_SIZE = (None, (6, 12), None)
    # lru_gen: who may not unmap or not write does not scan at all.
    LRU_GEN_SCANS_FOR_ALL = (None, (6, 1), None)
    # Files of ext4 are cached in large folios.
    FILE_LARGE_FOLIOS = ((7, 2), None, None)
    # Swap areas without a priority take turns; before, each had its own.
    SWAP_PRIORITY_SHARED = ((7, 2), None, None)
    # Watermarks and per-cpu lists.
    WMARK_MOVABLE_CLAMPED = ((6, 12), None, None)
    LOWMEM_RESERVE_FOLLOWS_MANAGED = ((7, 2), None, None)
    PCP_HIGH_FROM_WMARK = ((6, 1), None, None)
    # A row of frees that ends with blocks larger than a page empties the CPU's list.
    PCP_FREE_HIGH = ((6, 1), (6, 12), None)
    # A pgd is one page without PAE; with page table isolation it is two, the block that is freed last.
    PCP_FREE_HIGH_AT_EXIT = ((6, 1), (6, 12), Arch.X86_64)
    ZONE_RECLAIM_ACTIVE = ((6, 1), None, None)
    PCP_FREE_SCALED = ((6, 1), None, None)
    PCP_HUGE_PAGES = ((6, 1), None, None)
    PCP_HIGH_AUTO = ((6, 12), None, None)
    THP_OFF_LOWERS_MIN_FREE = ((6, 1), None, None)

    # Huge pages.
    # They can be migrated, so that they are taken from page blocks of the movable type.
    HUGETLB_MIGRATION = (None, None, Arch.X86_64)
    HUGETLB_NODES_WITHOUT_MEMORY = ((6, 1), None, None)
    HUGETLB_NODE_COUNT_PERSISTENT = ((6, 12), None, None)
    HUGETLB_DEMOTE_BATCHED = ((6, 12), None, None)
    HUGETLB_BOOT_PARALLEL = ((6, 12), None, None)
    # Pages beyond the buddy allocator can be surplus.
    HUGETLB_OVERCOMMIT_GIGANTIC = ((7, 2), None, None)

    # Address spaces: where exec() and mmap() put things, which tables are counted, flags of mappings.
    BRK_RANDOM_1G = ((6, 1), None, Arch.X86_64)
    MMAP_ALIGNED_TO_PMD = ((6, 12), None, Arch.X86_64)
    VDSO_ABOVE_STACK = (None, (6, 1), Arch.X86_64)
    VVAR_VCLOCK = ((7, 2), None, None)
    VM_DENYWRITE = (None, (5, 10), None)
    SOFT_DIRTY = (None, None, Arch.X86_64)
    PUD_TABLES_COUNTED = ((6, 12), None, None)
    PGD_TABLES_COUNTED = ((7, 2), None, None)

    # Lines, columns and files of the text views.
    MEMINFO_ZSWAP = ((6, 1), None, None)
    SWAPCACHE_GLOBAL = (None, (5, 10), None)
    NODE_FILE_HUGEPAGES_NARROW = (None, (6, 1), None)
    NODE_FILE_HUGEPAGES_ALIGNED = ((6, 12), None, None)
    NODE_MEMORY_FAILURE = ((6, 12), None, Arch.X86_64)
    NODE_SGX = ((6, 1), None, Arch.X86_64)
    ZONEINFO_BOOST = ((6, 1), None, None)
    ZONEINFO_PROMO = ((6, 12), None, None)
    ZONEINFO_CMA = ((6, 1), None, None)
    ZONEINFO_PAGESET_NARROW = (None, (6, 12), None)
    ZONEINFO_PAGESET_HIGH_MIN_MAX = ((7, 2), None, None)
    ZONEINFO_HIGHATOMIC = ((7, 2), None, None)
    PSI_READ_ONLY = (None, (5, 10), None)
    PSI_TRIGGERS = ((6, 1), None, None)
    CPU_CLUSTERS = ((6, 1), None, None)
    TMPFS_INODE64 = ((6, 1), None, Arch.X86_64)
    STATUS_KTHREAD = ((6, 12), None, None)
    STATUS_INDIRECT_BRANCH = ((6, 1), None, None)
    STATUS_THREAD_FEATURES = ((6, 12), None, Arch.X86_64)
    STATUS_UNTAG_MASK = ((6, 12), None, Arch.X86_64)
    SMAPS_PSS_DIRTY = ((6, 1), None, None)
    SMAPS_KSM = ((6, 12), None, None)
    SMAPS_THPELIGIBLE_ALIGNED = ((6, 12), None, None)
    MLOCK_LIMIT_8M = ((6, 1), None, None)
    MEMORY_AUTO_ONLINE = ((6, 12), None, None)

    # The kernel's log: the report of the OOM killer, call traces.
    FOLIOS = ((6, 1), None, None)
    GFP_NAMES_BY_BIT = ((7, 2), None, None)
    STACK_TASK = ((6, 1), None, None)
    STACK_UID = ((6, 12), None, None)
    STACK_PREEMPT_MODEL = ((7, 2), None, None)
    TAINT_NAMES = ((6, 12), None, None)
    TAINT_TEST = ((6, 1), None, None)
    TAINT_FWCTL = ((7, 2), None, None)
    SHOW_MEM_FILTERS_ZONES = ((6, 1), None, None)
    SHOW_MEM_THP_BLANK = (None, (6, 1), None)
    SHOW_MEM_FREE_HIGHATOMIC = ((7, 2), None, None)
    SHOW_MEM_ZSPAGES = ((7, 2), None, None)
    SHOW_MEM_SWAP_CACHE_STATS = (None, (5, 10), None)
    OOM_TASKS_RSS_KINDS = ((6, 12), None, None)
    OOM_MEMCG_PROTECTION = ((7, 2), None, None)
    OVERCOMMIT_WARNS = ((6, 1), None, None)
    OVERCOMMIT_WARNS_BYTES = ((6, 12), None, None)
    FRONTSWAP = (None, (6, 1), None)
    LAPTOP_MODE_DEPRECATED = ((7, 2), None, None)
    KMSG_LINE_WHOLE = ((6, 12), None, None)
    HUGETLB_PREFIX = ((6, 1), None, None)
    PSI_SHORT_WINDOWS = ((6, 12), None, None)
    PSI_UNPRIVILEGED = ((6, 12), None, None)
    STACK_AUTO_INIT = ((6, 1), None, None)
    VMALLOC_HUGE = ((6, 1), None, Arch.X86_64)
    VMALLOC_HUGE_WHOLE = ((7, 2), None, Arch.X86_64)
    BOOT_MEMORY_LATE = ((6, 12), None, None)
    BOOT_FALLBACK_ORDER = ((6, 1), None, None)
    BOOT_DEMOTION_TARGETS = ((6, 12), None, Arch.X86_64)

    # Rules of the handlers and parsers behind writable files.
    ULONG_SKIPS_NEGATIVE = (None, (5, 10), None)
    DOBOOL_TAKES_LONG = (None, (6, 1), None)
    KSTRTOBOOL_TRUE_FALSE = ((6, 1), None, None)
    KSTRTOBOOL_ENABLE_DISABLE = ((7, 2), None, None)
    COMPACT_MEMORY_CHECKED = ((6, 12), None, None)
    PAGE_CLUSTER_LIMITED = ((6, 12), None, None)
    UNPRIVILEGED_USERFAULTFD_ON = (None, (5, 10), None)
    SHMEM_STARTS_KHUGEPAGED = ((6, 12), None, None)
    SYSRQ_BULK = ((6, 12), None, None)
    LRU_GEN_ON = ((6, 12), None, None)
    NONLEAF_PMD_YOUNG = (None, None, Arch.X86_64)

    # Files of /proc/sys.
    BLOCK_DUMP = (None, (5, 10), None)
    PERCPU_PAGELIST_FRACTION = (None, (5, 10), None)
    PERCPU_PAGELIST_HIGH_FRACTION = ((6, 1), None, None)
    HUGETLB_OPTIMIZE_VMEMMAP = ((6, 1), None, Arch.X86_64)
    MMAP_RND_COMPAT_BITS = (None, None, Arch.X86_64)
    VDSO_ENABLED = (None, None, Arch.I386)
    ENABLE_SOFT_OFFLINE = ((6, 12), None, None)
    MEMFD_NOEXEC = ((6, 12), None, None)
    DEFRAG_MODE = ((7, 2), None, None)
    MOVABLE_GIGANTIC_PAGES = ((7, 2), None, Arch.X86_64)
    VFS_CACHE_PRESSURE_DENOM = ((7, 2), None, None)
    KERNEL_ARCH = ((6, 1), None, None)
    APPARMOR_SECID_MODE = ((6, 1), None, None)
    APPARMOR_UNCONFINED = ((6, 12), None, None)
    CORE_NOTE_AND_SORT = ((6, 12), None, None)
    CORE_MODES = ((7, 2), None, None)
    FTRACE_DUMP_NUMBER = (None, (6, 1), None)
    FTRACE_DUMP_TEXT = ((6, 12), None, None)
    NMI_WATCHDOG_EARLY = (None, (6, 1), None)
    NMI_WATCHDOG_READ_ONLY = ((6, 12), (6, 12), None)
    NMI_WATCHDOG_LATE = ((7, 2), None, None)
    HUNG_TASK_DETECT_COUNT = ((7, 2), None, None)
    SYS_INFO = ((7, 2), None, None)
    IO_URING_DISABLED = ((6, 12), None, None)
    KEXEC_LOAD_LIMIT = ((6, 12), None, None)
    RCU_STALL_TO_PANIC = ((6, 1), None, None)
    SPLIT_LOCK_MITIGATE = ((6, 1), None, None)
    TASK_DELAYACCT = ((6, 1), None, None)
    NUMA_BALANCING_PROMOTE = ((6, 1), None, Arch.X86_64)
    NUMA_BALANCING_SCAN = (None, (5, 10), Arch.X86_64)
    SCHED_GRANULARITY = (None, (5, 10), None)
    SCHED_CHILD_RUNS_FIRST = (None, (6, 1), None)
    SCHED_UCLAMP = ((7, 2), None, None)
    TIMER_MIGRATION = (None, None, Arch.X86_64)
    REAL_ROOT_DEV = (None, (6, 12), None)
    IPC_NEXT_ID_WRITABLE = (None, (5, 10), None)
    IPC_NEXT_ID_READ_ONLY = ((6, 1), None, None)
    PROTECTED_LINKS_SECRET = (None, (5, 10), None)
    PROTECTED_LINKS_PUBLIC = ((6, 1), None, None)
    DENTRY_NEGATIVE = ((7, 2), None, None)

    # Directories and files of /sys/kernel/mm.
    LRU_GEN = ((6, 1), None, None)
    THP_SIZES = ((6, 12), None, None)
    THP_COLLAPSE_STATS = ((7, 2), None, None)
    KSM_ADVISOR = ((6, 12), None, None)
    HUGETLB_DEMOTE = ((6, 1), None, Arch.X86_64)
    DEMOTION = ((6, 1), None, Arch.X86_64)
    WEIGHTED_INTERLEAVE = ((6, 12), None, Arch.X86_64)
    WEIGHTED_INTERLEAVE_AUTO = ((7, 2), None, Arch.X86_64)
    DAMON = ((6, 12), None, None)


def release_of(text: str) -> Release | None:
    """The (major, minor) that starts `text`, or None: '6.1.0-53-amd64' is (6, 1)."""
    found = re.match(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


@dataclass(frozen=True, slots=True)
class Kernel:
    """A release on an architecture, with the features that follow."""

    release: Release
    arch: Arch
    features: frozenset[Feature]

    @classmethod
    def of(cls, release: Release, arch: Arch = Arch.X86_64) -> Kernel:
        """The mainline release as the distributions build it."""
        return cls(release, arch, frozenset(f for f in Feature if _applies(f, release, arch)))

    def has(self, feature: Feature) -> bool:
        return feature in self.features

    @property
    def hpage_pmd_order(self) -> int:
        """HPAGE_PMD_ORDER: 2 MiB, or 4 MiB where a page table has 1024 entries."""
        return 10 if self.has(Feature.HIGHMEM) and not self.has(Feature.PAE) else 9

    @property
    def thread_size_kbytes(self) -> int:
        """THREAD_SIZE: a thread's stack in the kernel."""
        return 8 if self.has(Feature.HIGHMEM) else 16

    @property
    def pageblock_order(self) -> int:
        """The smaller of a huge page's order and the buddy allocator's largest."""
        return self.hpage_pmd_order

    @property
    def ulong_max(self) -> int:
        """The arithmetic of unsigned long wraps here."""
        return (1 << (32 if self.arch is Arch.I386 else 64)) - 1


def _applies(feature: Feature, release: Release, arch: Arch) -> bool:
    return (
        (feature.first is None or feature.first <= release)
        and (feature.last is None or release <= feature.last)
        and feature.arch in (None, arch)
    )


def nearest(release: Release) -> Release:
    """The known release to stand for an unknown one: the newest that is not newer, else the oldest."""
    return max((r for r in RELEASES if r <= release), default=RELEASES[0])
