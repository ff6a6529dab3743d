"""kcompactd, which compacts in the background (mm/compaction.c): when it is woken, and on its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from vmfs.kernel import Feature
from vmfs.mm import compaction, psi
from vmfs.mm.mmzone import MigrateType, Node, Zone
from vmfs.mm.vmstat import Item

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

SCANNED = (
    (Item.COMPACT_MIGRATE_SCANNED, Item.COMPACT_DAEMON_MIGRATE_SCANNED),
    (Item.COMPACT_FREE_SCANNED, Item.COMPACT_DAEMON_FREE_SCANNED),
)
COMPACT_MAX_DEFER_SHIFT = 6
DEFER_SECONDS = 32  # 1 << COMPACT_MAX_DEFER_SHIFT checks of 500 ms


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
    before = _scanned(machine)
    for zone in zones:
        compaction.compact_zone(machine, zone, whole=whole)
    _count_scanned(machine, before)


def _scanned(machine: Machine) -> list[int]:
    return [machine.event(scanned) for scanned, _ in SCANNED]


def _count_scanned(machine: Machine, before: list[int]) -> None:
    for (scanned, by_kcompactd), then in zip(SCANNED, before, strict=True):
        machine.count_event(by_kcompactd, machine.event(scanned) - then)


# -- proactive compaction ------------------------------------------------------------------------


def proactive_due(machine: Machine) -> int | None:
    """When kcompactd looks at fragmentation next: every second, the kernel twice in that time.

    Not while the free memory of a node and the marks are what they were after the last look, nor for
    DEFER_SECONDS after compaction that did not help.
    """
    if not machine.sysctl.compaction_proactiveness:
        return None
    next_second = machine.clock.microsecs // 1_000_000 + 1
    return min(
        (max(next_second, n.compaction_defer_until) for n in machine.nodes if _is_new(machine, n)),
        default=None,
    )


def _is_new(machine: Machine, node: Node) -> bool:
    return node.compacted_at != _situation(machine, node)


def _situation(machine: Machine, node: Node) -> tuple[int, ...]:
    """What a look depends on, as nearly as is told without one."""
    return machine.sysctl.compaction_proactiveness, *[zone.free_pages for zone in node.zones]


def proactive_compact(machine: Machine) -> None:
    """kcompactd(), when it was not woken, on the nodes whose turn it is."""
    second = machine.clock.microsecs // 1_000_000
    for node in machine.nodes:
        if node.compaction_defer_until <= second and _is_new(machine, node):
            _proactive_compact_node(machine, node)


def trigger(machine: Machine) -> None:
    """compaction_proactiveness_sysctl_handler(): a new value is acted on at once."""
    if machine.sysctl.compaction_proactiveness:
        for node in machine.nodes:
            _proactive_compact_node(machine, node)


def _proactive_compact_node(machine: Machine, node: Node) -> None:
    """should_proactive_compact_node(), compact_node(): not beside kswapd. In vain, it is put off."""
    score = fragmentation_score_node(machine, node)
    if score > fragmentation_score_wmark(machine, low=False) and not psi.kswapd_lags(machine):
        before = _scanned(machine)
        low = fragmentation_score_wmark(machine, low=True)
        for zone in node.zones:
            if zone.populated:
                compaction.compact_zone(machine, zone, whole=True, score=low)
        if machine.kernel.has(Feature.PROACTIVE_COMPACTION_COUNTED):
            _count_scanned(machine, before)
        helped = fragmentation_score_node(machine, node) < score
        node.compaction_defer_until = machine.clock.microsecs // 1_000_000 + (0 if helped else DEFER_SECONDS)
        machine.touch()
    node.compacted_at = _situation(machine, node)


def fragmentation_score_wmark(machine: Machine, *, low: bool) -> int:
    """The score above which kcompactd begins, or `low`, at which it ends."""
    mark, leeway = 100 - machine.sysctl.compaction_proactiveness, 10
    if machine.kernel.has(Feature.PROACTIVE_COMPACTION_UNCAPPED):
        leeway = min(leeway, mark // 2)
    else:
        mark = max(mark, 5)
    return mark if low else min(mark + leeway, 100)


def fragmentation_score_node(machine: Machine, node: Node) -> int:
    """Per cent of the node's free memory that is not in huge pages, the zones weighed by their size."""
    order = machine.kernel.hpage_pmd_order
    present = node.present_pages + 1
    return sum(
        z.present_pages * compaction.extfrag_for_order(z, order) // present for z in node.zones if z.populated
    )
