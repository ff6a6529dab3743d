"""Pages go back to their zone, by way of the per-cpu lists or not (mm/page_alloc.c: __free_pages()).

pcp_free.py says when those lists are full.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmfs.kernel import Feature
from vmfs.mm import pcp, pcp_free
from vmfs.mm.alloc_request import Parts
from vmfs.mm.extents import Extents
from vmfs.mm.mmzone import Node, Zone
from vmfs.mm.scan_control import SWAP_CLUSTER_MAX
from vmfs.mm.vmstat import Item

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine


def free_pages(
    machine: Machine, zone: Zone, extents: Extents, order: int = 0, *, reclaim: bool = False
) -> None:
    """Give pages of one zone back, small and huge ones by way of the per-cpu lists.

    While the zone is reclaimed those lists are kept short (ZONE_RECLAIM_ACTIVE): kswapd, which frees,
    wanders over the CPUs of its node. Before, it filled that of a CPU where nobody else is.
    """
    if not extents.pages:
        return
    machine.count_event(Item.PGFREE, extents.pages)
    if pcp.pcp_allowed_order(machine.kernel, order):
        cpu, high = machine.cpu_of(zone.nid), zone.pageset_high_min
        if reclaim and machine.kernel.has(Feature.ZONE_RECLAIM_ACTIVE):
            high = min(4 * zone.pageset_batch, high)
            others = _cpus_reached(machine, zone, cpu, extents.pages)
            pcp_free.shorten(machine, zone, others, high, extents.pages)
        elif reclaim:
            cpu = (machine.node(zone.nid).cpus or machine.hardware.online_cpus)[-1]
        pcp_free.free_unref(machine, zone, cpu, extents, high, order)
    else:
        zone.free_area.free(extents)


def _cpus_reached(machine: Machine, zone: Zone, cpu: int, pages: int) -> list[int]:
    """Other CPUs with lists, to which reclaim gets that frees so many: SWAP_CLUSTER_MAX on each at least."""
    others = {*(machine.node(zone.nid).cpus or machine.hardware.online_cpus)} - {cpu}
    return sorted(zone.pageset.lists.keys() & others)[: (pages - 1) // SWAP_CLUSTER_MAX]


def free_by_zone(machine: Machine, parts: Parts, order: int = 0) -> None:
    for zone, extents in parts:
        free_pages(machine, zone, extents, order)


def split_by_zone(node: Node, extents: Extents) -> Parts:
    """A node's pages sorted into its zones."""
    spans = ((zone, Extents.run(zone.zone_start_pfn, zone.spanned_pages)) for zone in node.zones)
    parts = ((zone, extents.within(span)) for zone, span in spans if zone.populated)
    return [(zone, part) for zone, part in parts if part.pages]


def free_node_pages(machine: Machine, nid: int, extents: Extents, order: int) -> None:
    """Blocks of a node back to the zones they came from."""
    free_by_zone(machine, split_by_zone(machine.node(nid), extents), order)


def drain_zone_pages(zone: Zone) -> None:
    """drain_pages_zone() on every CPU."""
    zone.free_area.free(zone.pageset.drain())
