"""Data TLBs: how many translations of each page size a processor holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from vmfs.spec.sizes import SpecError, format_size

PAGE_KBYTES = (4, 2048, 4096, 1048576)

_L1 = MappingProxyType({4: 96, 2048: 32, 4096: 32, 1048576: 8})
_L2 = MappingProxyType({4: 2048, 2048: 1024, 4096: 1024, 1048576: 1024})


@dataclass(frozen=True, slots=True)
class Tlb:
    """Entries by page size in KiB, and processor cycles. By default those of Intel's Sapphire Rapids.

    A level that several sizes share is described for each as if that size had it alone. The walk is
    one that finds the upper levels in the processor's paging-structure caches.
    """

    l1: Mapping[int, int] = field(default_factory=lambda: dict(_L1))
    l2: Mapping[int, int] = field(default_factory=lambda: dict(_L2))
    l2_hit_cycles: int = 7
    walk_cycles: int = 40

    def __post_init__(self) -> None:
        for level, entries in (("tlb.l1", self.l1), ("tlb.l2", self.l2)):
            for kbytes, count in entries.items():
                if kbytes not in PAGE_KBYTES:
                    accepted = ", ".join(format_size(kb << 10) for kb in PAGE_KBYTES)
                    raise SpecError(f"{level}: {format_size(kbytes << 10)}; accepted: {accepted}")
                if count < 0:
                    raise SpecError(f"{level}: {count} entries; accepted: 0 or more")
        if not 0 <= self.l2_hit_cycles <= self.walk_cycles:
            raise SpecError(
                f"tlb.walk_cycles: {self.walk_cycles}; accepted: no less than l2_hit_cycles, "
                f"{self.l2_hit_cycles}, and that 0 or more"
            )

    def changed(self, changes: Mapping[str, Mapping[int, int] | int]) -> Tlb:
        """With other numbers; of a level only the sizes that are named."""
        merged = {
            name: {**getattr(self, name), **value} if isinstance(value, Mapping) else value
            for name, value in changes.items()
        }
        return replace(self, **merged)  # type: ignore[arg-type]
