"""/proc/zoneinfo, as mm/vmstat.c: zoneinfo_show_print() writes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmfs.kernel import Feature
from vmfs.mm.mmzone import NR_PAGE_ORDERS, MigrateType, Node, Zone
from vmfs.mm.vmstat import Item, Scope, items
from vmfs.mm.wmark import high_wmark_pages, low_wmark_pages, min_wmark_pages, promo_wmark_pages
from vmfs.views.entry import File, top
from vmfs.views.proc.vmstat import printed

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

MAX_RECLAIM_RETRIES = 16  # kswapd gives a node up after so many failures


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a zone: the label with its padding, and the number."""

    label: str
    value: Callable[[Zone], int]
    needs: Feature = Feature.BASE


def reserved_highatomic(zone: Zone) -> int:
    """Pages of the blocks kept for atomic allocations of high orders."""
    return zone.free_area.nr_pageblocks(MigrateType.HIGHATOMIC) << zone.free_area.pageblock_order


def free_highatomic(zone: Zone) -> int:
    area = zone.free_area
    return sum(area.nr_free(order, MigrateType.HIGHATOMIC) << order for order in range(NR_PAGE_ORDERS))


SIZES: tuple[Row, ...] = (
    Row("  pages free     ", lambda z: z.free_pages),
    Row("        boost    ", lambda z: z.watermark_boost, Feature.ZONEINFO_BOOST),
    Row("        min      ", min_wmark_pages),
    Row("        low      ", low_wmark_pages),
    Row("        high     ", high_wmark_pages),
    Row("        promo    ", promo_wmark_pages, Feature.ZONEINFO_PROMO),
    Row("        spanned  ", lambda z: z.spanned_pages),
    Row("        present  ", lambda z: z.present_pages),
    Row("        managed  ", lambda z: z.managed_pages),
    Row("        cma      ", lambda z: z.cma_pages, Feature.ZONEINFO_CMA),
)

TAIL: tuple[Row, ...] = (
    Row("  start_pfn:           ", lambda z: z.zone_start_pfn),
    Row("  reserved_highatomic: ", reserved_highatomic, Feature.ZONEINFO_HIGHATOMIC),
    Row("  free_highatomic:     ", free_highatomic, Feature.ZONEINFO_HIGHATOMIC),
)

PAGESET: tuple[Row, ...] = (
    Row("              batch: ", lambda z: z.pageset_batch, Feature.ZONEINFO_PAGESET_NARROW),
    Row("              batch:    ", lambda z: z.pageset_batch, Feature.ZONEINFO_PAGESET_HIGH_MIN_MAX),
    Row("              high_min: ", lambda z: z.pageset_high_min, Feature.ZONEINFO_PAGESET_HIGH_MIN_MAX),
    Row("              high_max: ", lambda z: z.pageset_high_max, Feature.ZONEINFO_PAGESET_HIGH_MIN_MAX),
    Row("  vm stats threshold: ", lambda z: z.stat_threshold),
)
"""What a CPU's list says after its own count and high: the same for every CPU of a zone."""


def zoneinfo(machine: Machine) -> str:
    return "".join(text for node in machine.nodes for text in node_text(machine, node))


def node_text(machine: Machine, node: Node) -> Iterator[str]:
    first = next((z for z in node.zones if z.populated), None)
    for zone in node.zones:
        yield f"Node {node.nid}, zone {zone.name:>8}\n"
        if zone is first:
            yield "  per-node stats\n"
            yield counters(machine, node, Scope.NODE)
        yield rows(machine, zone, SIZES)
        yield f"        protection: ({', '.join(map(str, zone.lowmem_reserve))})\n"
        if zone.populated:
            yield counters(machine, zone, Scope.ZONE, Scope.NUMA)
            yield "  pagesets\n"
            yield pagesets(machine, zone)
            yield f"  node_unreclaimable:  {unreclaimable(node)}\n"
            yield rows(machine, zone, TAIL)


def rows(machine: Machine, zone: Zone, table: tuple[Row, ...]) -> str:
    shown = (row for row in table if machine.kernel.has(row.needs))
    return "".join(f"{row.label}{row.value(zone)}\n" for row in shown)


def counters(machine: Machine, subject: Node | Zone, *scopes: Scope) -> str:
    def line(item: Item) -> str:
        return f"      {item.text:<12} {printed(machine, item, subject.page_state(item.stored))}\n"

    return "".join(line(item) for item in items(machine.kernel, *scopes))


def pagesets(machine: Machine, zone: Zone) -> str:
    """Each online CPU's list of pages; what is equal for all CPUs is laid out once."""
    narrow = machine.kernel.has(Feature.ZONEINFO_PAGESET_NARROW)
    count_label, high_label = ("count: ", "high:  ") if narrow else ("count:    ", "high:     ")
    same = rows(machine, zone, PAGESET)
    # Tuned from nothing as pages are freed, or fixed.
    high = zone.pageset.high
    fixed = 0 if machine.kernel.has(Feature.PCP_HIGH_AUTO) else zone.pageset_high_min
    count = zone.pageset.count
    return "".join(
        f"    cpu: {cpu}\n              {count_label}{count(cpu)}\n"
        f"              {high_label}{high.get(cpu, fixed)}\n{same}"
        for cpu in machine.hardware.online_cpus
    )


def unreclaimable(node: Node) -> int:
    return int(node.kswapd_failures >= MAX_RECLAIM_RETRIES)


DIRS = (top("/proc", File("zoneinfo", zoneinfo)),)
