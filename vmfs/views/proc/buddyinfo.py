"""/proc/buddyinfo, as mm/vmstat.c: frag_show_print() writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmfs.mm.mmzone import NR_PAGE_ORDERS, Node, Zone
from vmfs.views.entry import File, top
from vmfs.views.seq import counts

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine


def line(node: Node, zone: Zone) -> str:
    free = [zone.free_area.nr_free(order) for order in range(NR_PAGE_ORDERS)]
    return f"Node {node.nid}, zone {zone.name:>8} {counts(free)}\n"


def buddyinfo(machine: Machine) -> str:
    return "".join(line(node, zone) for node, zone in machine.zones() if zone.populated)


DIRS = (top("/proc", File("buddyinfo", buddyinfo)),)
