"""How much one run of kswapd frees, in which rounds (mm/vmscan.c: balance_pgdat())."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from vmfs.mm import lru_gen, scan_count, vmscan, wmark
from vmfs.mm.mmzone import MigrateType, Node, Zone
from vmfs.mm.scan_control import SWAP_CLUSTER_MAX, Reclaim, ScanControl

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

PCP_TYPES = (MigrateType.UNMOVABLE, MigrateType.MOVABLE, MigrateType.RECLAIMABLE)


def pgdat_balanced(node: Node, highest_zoneidx: int, order: int = 0) -> bool:
    """One zone above its high watermark, with a block of `order`, is enough; so is having none to balance."""
    zones = [zone for zone in node.zones if zone.managed_pages and zone.index <= highest_zoneidx]
    return not zones or any(
        _deficit(zone, highest_zoneidx, order) <= 0 and zone.free_area.has_block(order, PCP_TYPES)
        for zone in zones
    )


def _deficit(zone: Zone, highest_zoneidx: int, order: int = 0) -> int:
    """Pages that are missing to the high watermark, with a block of `order` taken: __zone_watermark_ok()."""
    mark = wmark.high_wmark_pages(zone) + zone.lowmem_reserve[highest_zoneidx]
    return mark + (1 << order) - zone.free_pages


def missing_pages(zones: Iterable[Zone], highest_zoneidx: int) -> int:
    """Pages to free until a node with these zones is balanced."""
    zones = [zone for zone in zones if zone.managed_pages and zone.index <= highest_zoneidx]
    return max(min((_deficit(zone, highest_zoneidx) for zone in zones), default=0), 0)


def balance_pgdat(machine: Machine, node: Node, control: ScanControl, want: int = 0) -> int:
    """Rounds until what is missing is freed, and what the waker takes meanwhile; returns the pages freed."""
    if machine.lru_gen.enabled:
        return _balance_generations(machine, node, control, want)
    return _balance_lists(machine, node, control, want)


def _balance_lists(machine: Machine, node: Node, control: ScanControl, want: int) -> int:
    """The priority falls while a round finds too little to look at, or nothing to free."""
    reclaim, progress = Reclaim(machine, node, control), 0
    least, most = want + missing_pages(reclaim.zones, control.highest_zoneidx), nr_to_reclaim(reclaim.zones)
    priority = scan_count.first_priority(reclaim, min(least, most))
    while priority and (progress < least or not pgdat_balanced(node, control.highest_zoneidx)):
        reclaim = Reclaim(machine, node, control, ahead=want)
        vmscan.shrink_round(reclaim, most, priority)
        progress += reclaim.freed
        if reclaim.scanned < most or not reclaim.freed:
            priority -= 1
    scan_count.snapshot_refaults(node)
    return progress


def _balance_generations(machine: Machine, node: Node, control: ScanControl, want: int) -> int:
    """With lru_gen: each round scans twice as much as the one before, and one that ages nothing.

    Those that cannot free enough, whatever they find, are one with the next.
    """
    zones, progress, budget = Reclaim(machine, node, control).zones, 0, 0
    least, most = want + missing_pages(zones, control.highest_zoneidx), nr_to_reclaim(zones)
    priority = lru_gen.initial_priority(machine, node, most)
    while priority and (progress < least or not pgdat_balanced(node, control.highest_zoneidx)):
        if lru_gen.age(machine, node):
            priority -= 1
            continue
        budget += lru_gen.nr_to_scan(machine, lru_gen.evictable_pages(machine, node) - budget, priority)
        if priority > 1 and budget < min(least - progress, most):
            priority -= 1
            continue
        reclaim = Reclaim(machine, node, control, nr_to_scan=budget)
        target = min(most, want + lru_gen.pages_to_abort(zones, control))
        vmscan.shrink_round(reclaim, target, priority)
        progress, budget = progress + reclaim.freed, 0
        if reclaim.scanned < most or not reclaim.freed:
            priority -= 1
    scan_count.snapshot_refaults(node)
    return progress


def nr_to_reclaim(zones: list[Zone]) -> int:
    """kswapd_shrink_node(): as much as is to be free, at once."""
    return sum(max(wmark.high_wmark_pages(zone), SWAP_CLUSTER_MAX) for zone in zones)
