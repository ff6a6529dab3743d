"""Pages of the kernel that no counter of a zone tells apart: page tables, stacks of tasks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from vmfs.mm import alloc_request, page_free
from vmfs.mm.extents import Extents
from vmfs.mm.mmzone import Zone
from vmfs.mm.vmstat import Item
from vmfs.mm.zonelist import zonelist

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine
    from vmfs.mm.tasks import Task


def alloc_other(machine: Machine, nid: int, pages: int, task: Task | None = None) -> None:
    """Kernel pages that no counter of a zone tells apart, on behalf of a task or of nobody here."""
    request = alloc_request.gfp_kernel(machine, nid, pages)
    for zone, extents in machine.alloc_pages(request, task):
        zone.other = Extents.concat([zone.other, extents])


def free_other(machine: Machine, nid: int, pages: int) -> None:
    """Kernel pages go back, the newest first, from the node's zones and then from the others."""
    for zone in _zones_from(machine, nid):
        kept, gone = zone.other.take(max(zone.other.pages - pages, 0))
        zone.other = kept
        page_free.free_pages(machine, zone, gone)
        pages -= gone.pages


def _zones_from(machine: Machine, nid: int) -> Iterator[Zone]:
    nodes = [machine.node(nid), *(node for node in machine.nodes if node.nid != nid)]
    return (zone for node in nodes for zone in reversed(node.zones))


def account_kernel_stack(machine: Machine, task: Task, kbytes: int) -> None:
    """account_kernel_stack(): the stack of a task comes, or goes where `kbytes` is negative."""
    if kbytes > 0:
        alloc_other(machine, task.nid, kbytes // 4)  # by the parent: dup_task_struct()
    else:
        free_other(machine, task.nid, -kbytes // 4)
    zone = zonelist(machine, task.nid, machine.zone_index("Normal"))[0]  # a node without memory has none
    machine.node(zone.nid).mod_state(Item.NR_KERNEL_STACK, kbytes)
