"""The multi-generational LRU: what /sys/kernel/mm/lru_gen sets (mm/vmscan.c)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag

from vmfs.kernel import Feature, Kernel
from vmfs.mm.snapshot import Snapshot


class LruGenCap(IntFlag):
    CORE = 1
    MM_WALK = 2
    NONLEAF_YOUNG = 4


@dataclass(slots=True, eq=False)
class LruGen:
    enabled: int  # of LruGenCap, what the hardware can do
    min_ttl_ms: int = 0

    @classmethod
    def of(cls, snapshot: Snapshot) -> LruGen:
        """CONFIG_LRU_GEN_ENABLED as the distributions have it."""
        return cls(capabilities(snapshot.kernel) if snapshot.kernel.has(Feature.LRU_GEN_ON) else 0)


def capabilities(kernel: Kernel) -> int:
    """The bits that stick: 2-level page tables have no accessed bit above the leaves."""
    leaf = LruGenCap.CORE | LruGenCap.MM_WALK
    return int(leaf | LruGenCap.NONLEAF_YOUNG if kernel.has(Feature.NONLEAF_PMD_YOUNG) else leaf)
