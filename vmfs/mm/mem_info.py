"""Mem-Info, which the log shows when memory has run out (mm/show_mem.c: __show_mem()).

Each function yields the texts of its printk() calls. Sizes are pages, or kB where the text says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from vmfs.kernel import Feature
from vmfs.mm import swap_state, wmark
from vmfs.mm.mmzone import NR_PAGE_ORDERS, PAGE_SHIFT, MigrateType, Node, Zone
from vmfs.mm.scan_control import MAX_RECLAIM_RETRIES
from vmfs.mm.vmstat import Item

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

LETTERS = {
    MigrateType.UNMOVABLE: "U",
    MigrateType.MOVABLE: "M",
    MigrateType.RECLAIMABLE: "E",
    MigrateType.HIGHATOMIC: "H",
    MigrateType.CMA: "C",
    MigrateType.ISOLATE: "I",
}
KBYTES_SHIFT = PAGE_SHIFT - 10


class Shown(NamedTuple):
    """What a report is about: nodes, zones up to an index, and the CPU that prints it."""

    nids: tuple[int, ...]
    highest_zoneidx: int
    cpu: int

    def zones(self, machine: Machine) -> Iterator[Zone]:
        for node, zone in machine.zones():
            if node.nid in self.nids and zone.populated and zone.index <= self.highest_zoneidx:
                yield zone


class Totals(NamedTuple):
    """A line of counts of the whole machine, in pages."""

    cells: tuple[tuple[str, Item], ...]
    needs: Feature = Feature.BASE


_MAPPED = (("mapped", Item.NR_MAPPED), ("shmem", Item.NR_SHMEM))
_BOUNCE = ("bounce", Item.NR_BOUNCE)

TOTALS = (
    Totals(
        (
            ("active_anon", Item.NR_ACTIVE_ANON),
            ("inactive_anon", Item.NR_INACTIVE_ANON),
            ("isolated_anon", Item.NR_ISOLATED_ANON),
        )
    ),
    Totals(
        (
            ("active_file", Item.NR_ACTIVE_FILE),
            ("inactive_file", Item.NR_INACTIVE_FILE),
            ("isolated_file", Item.NR_ISOLATED_FILE),
        )
    ),
    Totals(
        (
            ("unevictable", Item.NR_UNEVICTABLE),
            ("dirty", Item.NR_DIRTY),
            ("writeback", Item.NR_WRITEBACK),
        )
    ),
    Totals(
        (
            ("slab_reclaimable", Item.NR_SLAB_RECLAIMABLE),
            ("slab_unreclaimable", Item.NR_SLAB_UNRECLAIMABLE),
        )
    ),
    Totals((*_MAPPED, ("pagetables", Item.NR_ZONE_PAGE_TABLE_PAGES), _BOUNCE), Feature.PAGETABLES_PER_ZONE),
    Totals((*_MAPPED, ("pagetables", Item.NR_PAGE_TABLE_PAGES)), Feature.SEC_PAGETABLES),
    Totals((("sec_pagetables", Item.NR_SEC_PAGE_TABLE_PAGES), _BOUNCE), Feature.SEC_PAGETABLES),
    Totals((("kernel_misc_reclaimable", Item.NR_KERNEL_MISC_RECLAIMABLE),), Feature.SEC_PAGETABLES),
)
"""In order; free pages follow."""


class NodeField(NamedTuple):
    """`label`, and a counter in pages; kernel stacks are counted in kB."""

    label: str
    item: Item
    needs: Feature = Feature.BASE
    huge: bool = False  # in huge pages


NODE_FIELDS = (
    NodeField("active_anon", Item.NR_ACTIVE_ANON),
    NodeField("inactive_anon", Item.NR_INACTIVE_ANON),
    NodeField("active_file", Item.NR_ACTIVE_FILE),
    NodeField("inactive_file", Item.NR_INACTIVE_FILE),
    NodeField("unevictable", Item.NR_UNEVICTABLE),
    NodeField("isolated(anon)", Item.NR_ISOLATED_ANON),
    NodeField("isolated(file)", Item.NR_ISOLATED_FILE),
    NodeField("mapped", Item.NR_MAPPED),
    NodeField("dirty", Item.NR_DIRTY),
    NodeField("writeback", Item.NR_WRITEBACK),
    NodeField("shmem", Item.NR_SHMEM),
    NodeField("shmem_thp", Item.NR_SHMEM_HUGEPAGES, huge=True),
    NodeField("shmem_pmdmapped", Item.NR_SHMEM_PMDMAPPED, huge=True),
    NodeField("anon_thp", Item.NR_ANON_TRANSPARENT_HUGEPAGES, huge=True),
    NodeField("writeback_tmp", Item.NR_WRITEBACK_TEMP, Feature.NR_WRITEBACK_TEMP),
    NodeField("kernel_stack", Item.NR_KERNEL_STACK),
    NodeField("pagetables", Item.NR_PAGE_TABLE_PAGES, Feature.PAGETABLES_PER_NODE),
    NodeField("sec_pagetables", Item.NR_SEC_PAGE_TABLE_PAGES, Feature.SEC_PAGETABLES),
)
NODE_TAIL = (
    NodeField("Balloon", Item.NR_BALLOON_PAGES, Feature.NR_BALLOON),
    NodeField("gpu_active", Item.NR_GPU_ACTIVE, Feature.NR_GPU),
    NodeField("gpu_reclaim", Item.NR_GPU_RECLAIM, Feature.NR_GPU),
)
"""After the question whether all is unreclaimable."""


class ZoneField(NamedTuple):
    label: str
    pages: Callable[[Zone, int], int]  # of a zone, for the CPU that prints
    needs: Feature = Feature.BASE
    unit: str = "kB"


def _state(item: Item) -> Callable[[Zone, int], int]:
    return lambda zone, _cpu: zone.page_state(item)


def reserved_highatomic(zone: Zone) -> int:
    """Pages of the blocks kept for atomic allocations of high orders."""
    return zone.free_area.nr_pageblocks(MigrateType.HIGHATOMIC) << zone.free_area.pageblock_order


def free_highatomic(zone: Zone) -> int:
    area = zone.free_area
    return sum(area.nr_free(order, MigrateType.HIGHATOMIC) << order for order in range(NR_PAGE_ORDERS))


ZONE_FIELDS = (
    ZoneField("free", lambda zone, _: zone.free_pages),
    ZoneField("boost", lambda zone, _: zone.watermark_boost, Feature.ZONEINFO_BOOST),
    ZoneField("min", lambda zone, _: wmark.min_wmark_pages(zone)),
    ZoneField("low", lambda zone, _: wmark.low_wmark_pages(zone)),
    ZoneField("high", lambda zone, _: wmark.high_wmark_pages(zone)),
    ZoneField("reserved_highatomic", lambda zone, _: reserved_highatomic(zone), unit="KB"),
    ZoneField(
        "free_highatomic", lambda zone, _: free_highatomic(zone), Feature.SHOW_MEM_FREE_HIGHATOMIC, "KB"
    ),
    ZoneField("active_anon", _state(Item.NR_ZONE_ACTIVE_ANON)),
    ZoneField("inactive_anon", _state(Item.NR_ZONE_INACTIVE_ANON)),
    ZoneField("active_file", _state(Item.NR_ZONE_ACTIVE_FILE)),
    ZoneField("inactive_file", _state(Item.NR_ZONE_INACTIVE_FILE)),
    ZoneField("unevictable", _state(Item.NR_ZONE_UNEVICTABLE)),
    ZoneField("writepending", _state(Item.NR_ZONE_WRITE_PENDING)),
    ZoneField("zspages", _state(Item.NR_ZSPAGES), Feature.SHOW_MEM_ZSPAGES),
    ZoneField("present", lambda zone, _: zone.present_pages),
    ZoneField("managed", lambda zone, _: zone.managed_pages),
    ZoneField("mlocked", _state(Item.NR_MLOCK)),
    ZoneField("pagetables", _state(Item.NR_ZONE_PAGE_TABLE_PAGES), Feature.PAGETABLES_PER_ZONE),
    ZoneField("bounce", _state(Item.NR_BOUNCE)),
    ZoneField("free_pcp", lambda zone, _: zone.pageset.total),
    ZoneField("local_pcp", lambda zone, cpu: zone.pageset.count(cpu)),
    ZoneField("free_cma", _state(Item.NR_FREE_CMA)),
)


def show_mem(machine: Machine, shown: Shown) -> Iterator[str]:
    """All of it, in order; but for lines of tasks and slab caches, which the OOM killer adds."""
    yield "Mem-Info:"
    yield _totals(machine, shown)
    nodes = [node for node in machine.nodes if node.nid in shown.nids and _has_zones(node, shown)]
    for node in nodes:
        yield _node_line(machine, node)
    for zone in shown.zones(machine):
        yield _zone_line(machine, zone, shown.cpu)
        yield "lowmem_reserve[]:" + "".join(f" {pages}" for pages in zone.lowmem_reserve)
    for zone in shown.zones(machine):
        yield _buddy_line(machine, zone)
    yield from _huge_pages(machine, shown.nids)
    yield from _page_cache_and_swap(machine)
    yield from _ram(machine)


def _has_zones(node: Node, shown: Shown) -> bool:
    return any(zone.managed_pages and zone.index <= shown.highest_zoneidx for zone in node.zones)


def _totals(machine: Machine, shown: Shown) -> str:
    """One printk() of many lines: counts of the whole machine."""
    lines = (line for line in TOTALS if machine.kernel.has(line.needs))
    texts = [" ".join(f"{label}:{machine.global_page_state(item)}" for label, item in x.cells) for x in lines]
    free_pcp = sum(zone.pageset.total for zone in shown.zones(machine))
    free_cma = machine.global_page_state(Item.NR_FREE_CMA)
    return "\n ".join([*texts, f"free:{machine.free_pages} free_pcp:{free_pcp} free_cma:{free_cma}"])


def _node_line(machine: Machine, node: Node) -> str:
    blank = " " if machine.kernel.has(Feature.SHOW_MEM_THP_BLANK) else ""

    def cells(fields: Iterable[NodeField]) -> Iterator[str]:
        for field in fields:
            if machine.kernel.has(field.needs):
                count = node.page_state(field.item)
                kbytes = count if field.item is Item.NR_KERNEL_STACK else count << KBYTES_SHIFT
                yield f"{field.label}:{blank if field.huge else ''}{kbytes}kB"

    unreclaimable = "yes" if node.kswapd_failures >= MAX_RECLAIM_RETRIES else "no"
    head = " ".join(cells(NODE_FIELDS))
    return " ".join((f"Node {node.nid} {head} all_unreclaimable? {unreclaimable}", *cells(NODE_TAIL)))


def _place(machine: Machine, zone: Zone) -> str:
    """show_node(): only kernels for NUMA say which node."""
    return f"Node {zone.nid} {zone.name}" if machine.kernel.has(Feature.NUMA) else zone.name


def _zone_line(machine: Machine, zone: Zone, cpu: int) -> str:
    shown = (field for field in ZONE_FIELDS if machine.kernel.has(field.needs))
    cells = (f"{f.label}:{f.pages(zone, cpu) << KBYTES_SHIFT}{f.unit}" for f in shown)
    return f"{_place(machine, zone)} {' '.join(cells)}"


def _buddy_line(machine: Machine, zone: Zone) -> str:
    area, cells, total = zone.free_area, [], 0
    for order in range(NR_PAGE_ORDERS):
        blocks = area.nr_free(order)
        total += blocks << order
        cells.append(f"{blocks}*{1 << order + KBYTES_SHIFT}kB")
        if blocks:
            letters = "".join(c for kind, c in LETTERS.items() if area.nr_free(order, kind))
            cells.append(f"({letters})")
    return f"{_place(machine, zone)}: {' '.join(cells)} = {total << KBYTES_SHIFT}kB"


def _huge_pages(machine: Machine, nids: tuple[int, ...]) -> Iterator[str]:
    """hugetlb_show_meminfo_node()"""
    for nid in nids:
        for h in machine.hstates:
            yield (
                f"Node {nid} hugepages_total={h.nr_huge_pages_node(nid)} "
                f"hugepages_free={h.free_huge_pages_node(nid)} "
                f"hugepages_surp={h.surplus_huge_pages_node(nid)} hugepages_size={h.size_kbytes}kB"
            )


def _page_cache_and_swap(machine: Machine) -> Iterator[str]:
    """show_swap_cache_info(); what the swap cache was asked for is not counted."""
    cached = swap_state.total_swapcache_pages(machine)
    free = sum(area.pages - area.used for area in machine.swap_areas)
    yield f"{machine.global_page_state(Item.NR_FILE_PAGES)} total pagecache pages"
    yield f"{cached} pages in swap cache"
    if machine.kernel.has(Feature.SHOW_MEM_SWAP_CACHE_STATS):
        added = machine.event(Item.PSWPOUT)
        yield f"Swap cache stats: add {added}, delete {added - cached}, find 0/{machine.event(Item.PSWPIN)}"
    yield f"Free swap  = {free << KBYTES_SHIFT}kB"
    yield f"Total swap = {sum(area.pages for area in machine.swap_areas) << KBYTES_SHIFT}kB"


def _ram(machine: Machine) -> Iterator[str]:
    zones = [zone for _, zone in machine.zones() if zone.populated]
    yield f"{sum(zone.present_pages for zone in zones)} pages RAM"
    yield f"{sum(zone.present_pages for zone in zones if zone.is_highmem)} pages HighMem/MovableOnly"
    yield f"{sum(zone.present_pages - zone.managed_pages for zone in zones)} pages reserved"
    if machine.kernel.has(Feature.CMA):
        yield f"{sum(zone.cma_pages for zone in zones)} pages cma reserved"
    yield f"{machine.hwpoisoned} pages hwpoisoned"
