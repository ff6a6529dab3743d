"""What an allocation asks for, and what it says when there is none (mm/internal.h: struct alloc_context)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vmfs.kernel import Feature
from vmfs.mm import gfp
from vmfs.mm.extents import Extents
from vmfs.mm.mmzone import MigrateType, Zone
from vmfs.mm.pcp import order_to_pindex

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

Parts = list[tuple[Zone, Extents]]


class OutOfMemory(MemoryError):
    """No zone can yield what was asked; `parts` is what had been allocated until then."""

    def __init__(self, parts: Parts) -> None:
        super().__init__("out of memory")
        self.parts = parts


@dataclass(frozen=True, slots=True)
class Request:
    """`count` blocks of `order` wanted on node `nid`; `highest_zoneidx` follows from the GFP flags.

    `cpu_nid` is the node of the CPU that asks, where it is not `nid`; `gfp_mask` is what the log
    shows of it.
    """

    nid: int
    order: int
    count: int
    migratetype: MigrateType
    highest_zoneidx: int
    thisnode: bool = False
    cpu_nid: int | None = None
    gfp_mask: int = gfp.GFP_KERNEL

    @property
    def pages(self) -> int:
        return self.count << self.order

    @property
    def pindex(self) -> int:
        """Which of the per-cpu lists has such blocks."""
        return order_to_pindex(self.migratetype, self.order)


def gfp_kernel(machine: Machine, nid: int, count: int, order: int = 0, reclaimable: bool = False) -> Request:
    """GFP_KERNEL (| __GFP_RECLAIMABLE)"""
    kind = MigrateType.RECLAIMABLE if reclaimable else MigrateType.UNMOVABLE
    mask = gfp.GFP_KERNEL | (gfp.RECLAIMABLE if reclaimable else 0)
    return Request(nid, order, count, kind, machine.zone_index("Normal"), gfp_mask=mask)


def gfp_highuser_movable(
    machine: Machine, nid: int, count: int, order: int = 0, *, zeroed: bool = False
) -> Request:
    """GFP_HIGHUSER_MOVABLE: user pages, which are `zeroed`, and the page cache."""
    mask = gfp.user_page(machine.kernel, zeroed=zeroed)
    return Request(nid, order, count, MigrateType.MOVABLE, machine.zone_index("Movable"), gfp_mask=mask)


def htlb_alloc_mask(machine: Machine, nid: int, count: int, order: int) -> Request:
    """Huge pages of a pool: user pages, movable where they can be migrated."""
    request = gfp_highuser_movable(machine, nid, count, order)
    if machine.kernel.has(Feature.HUGETLB_MIGRATION):
        return request
    highest = machine.zone_index("HighMem" if machine.kernel.has(Feature.HIGHMEM) else "Normal")
    return replace(request, migratetype=MigrateType.UNMOVABLE, highest_zoneidx=highest)


def portions(machine: Machine, pages: int) -> Iterator[int]:
    """A large request in pieces, so that what came first can be reclaimed for what comes last."""
    while pages > 0:
        portion = min(pages, max(machine.free_pages // 2, machine.totalram_pages // 64, 1))
        yield portion
        pages -= portion
