"""kcompactd, which compacts in the background (mm/compaction.c): when it is woken, and on its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from vmfs.mm import compaction
from vmfs.mm.mmzone import NR_PAGE_ORDERS, MigrateType, Node, Zone
from vmfs.mm.vmstat import Item

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

SCANNED = (
    (Item.COMPACT_MIGRATE_SCANNED, Item.COMPACT_DAEMON_MIGRATE_SCANNED),
    (Item.COMPACT_FREE_SCANNED, Item.COMPACT_DAEMON_FREE_SCANNED),
)
PROACTIVE_SECONDS = 32  # 1 << COMPACT_MAX_DEFER_SHIFT checks of 500 ms
COMPACT_MAX_DEFER_SHIFT = 6


def wakeup_kcompactd(machine: Machine, node: Node, order: int, highest_zoneidx: int) -> None:
    """kswapd has freed what a block of that order could be made of: kcompactd_do_work(), at once.

    It is not woken where a block is free already or too little is, and where it has failed it lets
    ever more occasions pass.
    """
    zones = [z for z in node.zones if z.managed_pages and z.index <= highest_zoneidx]
    suitable = [zone for zone in zones if order and _kcompactd_node_suitable(machine, zone, order)]
    if not suitable:
        return
    machine.count_event(Item.COMPACT_DAEMON_WAKE, 1)
    todo = [zone for zone in suitable if not _compaction_deferred(zone)]
    _compact(machine, todo, whole=False)
    for zone in todo:
        if zone.free_area.has_block(order, (MigrateType.MOVABLE,)):
            zone.compact_defer_shift = 0
        else:
            zone.compact_defer_shift = min(zone.compact_defer_shift + 1, COMPACT_MAX_DEFER_SHIFT)
        zone.compact_considered = 0


def _kcompactd_node_suitable(machine: Machine, zone: Zone, order: int) -> bool:
    """No block of that order is free, and one can be made."""
    missing = not zone.free_area.has_block(order, (MigrateType.MOVABLE,))
    return missing and compaction.compaction_suitable(zone, order, machine.sysctl.extfrag_threshold)


def _compaction_deferred(zone: Zone) -> bool:
    """compaction_deferred()"""
    zone.compact_considered += 1
    return zone.compact_considered < (1 << zone.compact_defer_shift)


def _compact(machine: Machine, zones: Iterable[Zone], *, whole: bool) -> None:
    before = [machine.event(scanned) for scanned, _ in SCANNED]
    for zone in zones:
        compaction.compact_zone(machine, zone, whole=whole)
    for (scanned, by_kcompactd), then in zip(SCANNED, before, strict=True):
        machine.count_event(by_kcompactd, machine.event(scanned) - then)


def proactive_due(machine: Machine) -> int | None:
    """When kcompactd looks at fragmentation next: not while free memory is what it was last time.

    The kernel looks twice a second and, where compaction did not help, every 32 seconds; here it is
    always the latter.
    """
    if not machine.sysctl.compaction_proactiveness or machine.compacted_at == _free(machine):
        return None
    return (machine.clock.microsecs // 1_000_000 // PROACTIVE_SECONDS + 1) * PROACTIVE_SECONDS


def _free(machine: Machine) -> tuple[int, ...]:
    return tuple([zone.free_pages for node in machine.nodes for zone in node.zones])


def proactive_compact(machine: Machine) -> None:
    """proactive_compact_node() on the nodes that are too fragmented.

    The kernel stops at the lower mark, 10 per cent below; here the zones are compacted whole.
    """
    high = min(max(100 - machine.sysctl.compaction_proactiveness, 5) + 10, 100)
    for node in machine.nodes:
        if fragmentation_score_node(machine, node) > high:
            _compact(machine, [zone for zone in node.zones if zone.populated], whole=True)
            machine.touch()
    machine.compacted_at = _free(machine)


def fragmentation_score_node(machine: Machine, node: Node) -> int:
    """Per cent of the node's free memory that is not in huge pages, the zones weighed by their size."""
    order = machine.kernel.hpage_pmd_order
    present = node.present_pages + 1
    return sum(z.present_pages * extfrag_for_order(z, order) // present for z in node.zones if z.populated)


def extfrag_for_order(zone: Zone, order: int) -> int:
    """mm/vmstat.c: per cent of the free pages that are in smaller blocks."""
    suitable = sum(zone.free_area.nr_free(o) << o for o in range(order, NR_PAGE_ORDERS))
    return (zone.free_pages - suitable) * 100 // zone.free_pages if zone.free_pages else 0
