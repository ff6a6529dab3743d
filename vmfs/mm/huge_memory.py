"""Transparent huge pages: the policy that /sys/kernel/mm/transparent_hugepage sets (mm/huge_memory.c)."""

from __future__ import annotations

from dataclasses import dataclass, field

from vmfs.kernel import Feature, Kernel
from vmfs.mm.mmzone import PAGE_SHIFT
from vmfs.mm.snapshot import Snapshot

_SMALL_MACHINE_PAGES = 512 << (20 - PAGE_SHIFT)


@dataclass(slots=True, eq=False)
class Khugepaged:
    """mm/khugepaged.c; `order` is that of a PMD-sized page."""

    order: int
    defrag: int = 1
    scan_sleep_millisecs: int = 10000
    alloc_sleep_millisecs: int = 60000
    pages_collapsed: int = 0
    full_scans: int = 0
    pages_to_scan: int = field(init=False)
    max_ptes_none: int = field(init=False)
    max_ptes_swap: int = field(init=False)
    max_ptes_shared: int = field(init=False)

    def __post_init__(self) -> None:
        ptes = 1 << self.order
        self.pages_to_scan = ptes * 8
        self.max_ptes_none = ptes - 1
        self.max_ptes_swap = ptes // 8
        self.max_ptes_shared = ptes // 2


@dataclass(slots=True, eq=False)
class ThpSize:
    """struct thpsize: the policy for folios of one order; `enabled` has no file at order 1.

    `others` are what its stats/ count, by file, of folios that only a capture knows.
    """

    order: int
    enabled: str = "never"
    shmem_enabled: str = "never"
    others: dict[str, int] = field(default_factory=dict)

    @property
    def size_kbytes(self) -> int:
        return 1 << (self.order + PAGE_SHIFT - 10)


@dataclass(slots=True, eq=False)
class TransparentHugePages:
    order: int
    khugepaged: Khugepaged
    sizes: tuple[ThpSize, ...]  # ascending, from order 1
    enabled: str = "always"
    defrag: str = "madvise"
    use_zero_page: int = 1
    shmem_enabled: str = "never"
    shrink_underused: bool = True

    @classmethod
    def of(cls, snapshot: Snapshot) -> TransparentHugePages:
        """hugepage_init(): always, but off where memory is below 512 MiB."""
        order = snapshot.kernel.pageblock_order
        sizes = tuple(ThpSize(small) for small in range(1, order))
        thp = cls(order, Khugepaged(order), (*sizes, ThpSize(order, "inherit", "inherit")))
        if sum(zone.managed for node in snapshot.nodes for zone in node.zones) < _SMALL_MACHINE_PAGES:
            thp.enabled = thp.defrag = "never"
            thp.use_zero_page = thp.khugepaged.defrag = 0
        return thp

    @property
    def allows_advised(self) -> bool:
        """Whether madvise(MADV_HUGEPAGE) brings huge pages: thp_vma_allowable_order()."""
        pmd = self.sizes[-1].enabled
        return (self.enabled if pmd == "inherit" else pmd) != "never"

    def runs_khugepaged(self, kernel: Kernel) -> bool:
        """mm/khugepaged.c: hugepage_pmd_enabled(); before there were sizes hugepage_flags_enabled()."""
        pmd = self.sizes[-1]
        if self.enabled != "never" or not kernel.has(Feature.THP_SIZES):
            return self.enabled != "never"
        return pmd.enabled in {"always", "madvise"} or self._shmem_pmd_enabled(pmd)

    def _shmem_pmd_enabled(self, pmd: ThpSize) -> bool:
        # mm/shmem.c: shmem_hpage_pmd_enabled()
        if self.shmem_enabled == "deny":
            return False
        governing = self.shmem_enabled if pmd.shmem_enabled == "inherit" else pmd.shmem_enabled
        return governing != "never"
