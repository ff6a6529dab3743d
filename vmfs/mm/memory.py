"""Faults that bring pages back from swap (mm/memory.c: do_swap_page(); mm/swapfile.c: try_to_unuse())."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmfs.mm import alloc_request, filemap, lru, lru_gen, page_alloc, page_free, psi, swap_state, workingset
from vmfs.mm.lru import Batch, Lru, Use
from vmfs.mm.mmzone import Zone
from vmfs.mm.vmstat import Item

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine
    from vmfs.mm.swapfile import SwapArea
    from vmfs.mm.tasks import Task


def unuse(machine: Machine, area: SwapArea) -> None:
    """Bring an area's pages back: those of no task first, then each task's in order of pid.

    Which area a page is in is not kept. OutOfMemory when they do not fit; what did stays.
    """
    swap_state.delete_from_swap_cache(machine)
    owners: list[tuple[Task | None, dict[Use, int]]] = [(None, machine.swapped)]
    owners += [(task, task.swapped) for task in machine.tasks.values()]
    for task, swapped in owners:
        for use in list(swapped):
            for portion in alloc_request.portions(machine, min(area.used, swapped[use])):
                _swap_in(machine, use, task, portion)
                swapped[use] -= portion
                area.used -= portion


def _swap_in(machine: Machine, use: Use, task: Task | None, pages: int) -> None:
    request = alloc_request.gfp_highuser_movable(machine, task.nid if task else machine.default_nid, pages)
    try:
        parts = page_alloc.alloc_pages(machine, request)
    except alloc_request.OutOfMemory as short:
        page_free.free_by_zone(machine, short.parts)
        raise
    for zone, extents in parts:
        map_swapped(machine, zone, Batch(use, extents, task), in_fault=False)
    _count_readahead(machine, pages)
    count_reads(machine, pages)


def map_swapped(machine: Machine, zone: Zone, batch: Batch, *, in_fault: bool) -> None:
    """Pages that were swapped out are their owner's again; which of them, is not kept."""
    node = machine.node(zone.nid)
    filemap.charge(machine, node, batch, batch.pages)
    if batch.task is None:
        shadows = workingset.unknown_shadows(machine, batch.pages)
    else:
        shadows = batch.task.shadows.take_evenly(batch.pages)
    oldest, left = lru_gen.swapin_list(machine, node), batch.pages
    for fate in workingset.refault(machine, node, shadows, file=False, in_fault=in_fault):
        some = lru.split(batch, fate.pages)
        some.workingset = fate.workingset
        left -= some.pages
        lru.add(node, zone, Lru.ACTIVE_ANON if fate.active else oldest, some)
    if left:  # these were still in the swap cache when the area went
        lru.add(node, zone, oldest, batch)


def count_reads(machine: Machine, pages: int) -> None:
    """swap_readpage(), for which the reader waits."""
    machine.count_event(Item.PSWPIN, pages)
    machine.count_event(Item.PGPGIN, pages * filemap.SECTORS_PER_PAGE)
    psi.stall(machine, pages * psi.DISK_NANOSECS, psi.MEMORY, psi.IO)


def _count_readahead(machine: Machine, pages: int) -> None:
    """swapin_readahead(): all but the first page of each cluster come before they are asked for."""
    ahead = pages - -(-pages >> machine.sysctl.page_cluster)
    machine.count_event(Item.SWAP_RA, ahead)
    machine.count_event(Item.SWAP_RA_HIT, ahead)
