"""/proc/pagetypeinfo, as mm/vmstat.c: pagetypeinfo_show() writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmfs.kernel import Feature, Kernel
from vmfs.mm.mmzone import NR_PAGE_ORDERS, MigrateType, Node, Zone
from vmfs.views.entry import File, top
from vmfs.views.seq import counts

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

NAMES = {
    MigrateType.UNMOVABLE: "Unmovable",
    MigrateType.MOVABLE: "Movable",
    MigrateType.RECLAIMABLE: "Reclaimable",
    MigrateType.HIGHATOMIC: "HighAtomic",
    MigrateType.CMA: "CMA",
    MigrateType.ISOLATE: "Isolate",
}
"""mm/page_alloc.c: migratetype_names[]."""

COUNTED = 100000  # a longer list is not counted to its end


def types(kernel: Kernel) -> tuple[MigrateType, ...]:
    return tuple(t for t in NAMES if t is not MigrateType.CMA or kernel.has(Feature.CMA))


def free_line(node: Node, zone: Zone, migratetype: MigrateType) -> str:
    """pagetypeinfo_showfree_print()."""
    lengths = (zone.free_area.nr_free(order, migratetype) for order in range(NR_PAGE_ORDERS))
    cells = "".join(f"{n:>6} " if n < COUNTED else f">{COUNTED} " for n in lengths)
    return f"Node {node.nid:>4}, zone {zone.name:>8}, type {NAMES[migratetype]:>12} {cells}\n"


def blocks_line(node: Node, zone: Zone, shown: tuple[MigrateType, ...]) -> str:
    """pagetypeinfo_showblockcount_print()."""
    blocks = [zone.free_area.nr_pageblocks(t) for t in shown]
    return f"Node {node.nid}, zone {zone.name:>8} {counts(blocks, 12)}\n"


def node_text(node: Node, shown: tuple[MigrateType, ...]) -> str:
    zones = [z for z in node.zones if z.populated]
    order = zones[0].free_area.pageblock_order
    orders = counts(range(NR_PAGE_ORDERS))
    names = "".join(f"{NAMES[t]:>12} " for t in shown)
    return (
        f"Page block order: {order}\nPages per block:  {1 << order}\n\n"
        f"{'Free pages count per migrate type at order':<43} {orders}\n"
        + "".join(free_line(node, z, t) for z in zones for t in shown)
        + f"\n{'Number of blocks type ':<23}{names}\n"
        + "".join(blocks_line(node, z, shown) for z in zones)
    )


def pagetypeinfo(machine: Machine) -> str:
    """Each node with memory has its own header."""
    shown = types(machine.kernel)
    return "".join(node_text(node, shown) for node in machine.nodes if node.present_pages)


DIRS = (top("/proc", File("pagetypeinfo", pagetypeinfo, mode=0o400)),)
