"""A swap area goes, and its pages come back to memory (mm/swapfile.c: swapoff(), try_to_unuse())."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmfs.mm import memory, page_alloc, page_free, swap_state
from vmfs.mm.alloc_request import OutOfMemory, gfp_highuser_movable, portions
from vmfs.mm.lru import Batch, Use
from vmfs.mm.vmstat import Item

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine
    from vmfs.mm.swapfile import SwapArea
    from vmfs.mm.tasks import Task


def swapoff(machine: Machine, name: str) -> None:
    """KeyError for an unknown name; OutOfMemory, with the area kept, when its pages do not fit in memory.

    Areas with a lower priority of the kernel's own giving move up.
    """
    area = next((area for area in machine.swap_areas if area.name == name), None)
    if area is None:
        raise KeyError(name)
    index = machine.swap_areas.index(area)
    del machine.swap_areas[index]  # nothing is swapped out to it from now on
    try:
        _try_to_unuse(machine, area)
    except OutOfMemory:
        machine.swap_areas.insert(index, area)
        raise
    machine.proc_poll_event += 1
    for other in machine.swap_areas:
        other.priority += other.priority < area.priority < 0


def _try_to_unuse(machine: Machine, area: SwapArea) -> None:
    """Bring an area's pages back: those of no task first, then each task's in order of pid.

    Which area a page is in is not kept. OutOfMemory when they do not fit; what did stays.
    """
    swap_state.delete_from_swap_cache(machine)
    owners: list[tuple[Task | None, dict[Use, int]]] = [(None, machine.swapped)]
    owners += [(task, task.swapped) for task in machine.tasks.values()]
    for task, swapped in owners:
        for use in list(swapped):
            for portion in portions(machine, min(area.used, swapped[use])):
                _swap_in(machine, use, task, portion)
                swapped[use] -= portion
                area.used -= portion


def _swap_in(machine: Machine, use: Use, task: Task | None, pages: int) -> None:
    request = gfp_highuser_movable(machine, task.nid if task else machine.default_nid, pages)
    try:
        parts = page_alloc.alloc_pages(machine, request)
    except OutOfMemory as short:
        page_free.free_by_zone(machine, short.parts)
        raise
    for zone, extents in parts:
        memory.map_swapped(machine, zone, Batch(use, extents, task), in_fault=False)
    _count_readahead(machine, pages)
    memory.count_reads(machine, pages)


def _count_readahead(machine: Machine, pages: int) -> None:
    """swapin_readahead(): all but the first page of each cluster come before they are asked for."""
    ahead = pages - -(-pages >> machine.sysctl.page_cluster)
    machine.count_event(Item.SWAP_RA, ahead)
    machine.count_event(Item.SWAP_RA_HIT, ahead)
