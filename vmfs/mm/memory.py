"""Faults that bring pages back from swap (mm/memory.c: do_swap_page(); mm/swapfile.c: try_to_unuse())."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmfs.mm import filemap, lru, page_alloc
from vmfs.mm.lru import Batch, Use
from vmfs.mm.vmstat import Item

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine
    from vmfs.mm.tasks import Task


def unuse(machine: Machine, pages: int) -> None:
    """Bring `pages` swapped pages back: those of no task first, then each task's in order of pid.

    Which area a page is in is not kept. OutOfMemory when they do not fit.
    """
    for use, swapped in machine.swapped.items():
        share = min(pages, swapped)
        _swap_in(machine, use, None, machine.default_nid, share)
        machine.swapped[use] -= share
        pages -= share
    for task in machine.tasks.values():
        for use, swapped in task.swapped.items():
            share = min(pages, swapped)
            _swap_in(machine, use, task, task.nid, share)
            task.swapped[use] -= share
            pages -= share


def _swap_in(machine: Machine, use: Use, task: Task | None, nid: int, pages: int) -> None:
    request = page_alloc.gfp_highuser_movable(machine, nid, pages)
    for zone, extents in page_alloc.alloc_pages(machine, request):
        node = machine.node(zone.nid)
        batch = Batch(use, extents, task)
        filemap.charge(machine, node, batch, batch.pages)
        lru.add(node, zone, machine.new_anon_list, batch)
    machine.count_event(Item.PSWPIN, pages)
    machine.count_event(Item.PGPGIN, pages * filemap.SECTORS_PER_PAGE)
