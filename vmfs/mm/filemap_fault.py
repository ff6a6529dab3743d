"""Faults in mapped files: what one reads, what it maps, how many there are (mm/filemap.c, mm/memory.c).

A file that is touched in its order is read ahead of who touches it, who waits for its first page only. A
page that is touched alone is read with those around it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmfs.mm import filemap, psi, rmap, vma_alloc, workingset
from vmfs.mm.charge import charge
from vmfs.mm.lru import Batch, Lru, Use
from vmfs.mm.mmzone import Zone
from vmfs.mm.vmstat import Item

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine
    from vmfs.mm.tasks import Task

READAHEAD_PAGES = 32  # VM_READAHEAD_PAGES: a window
FAULT_AROUND_PAGES = 16  # fault_around_bytes: what a fault maps of what is in the page cache
READ_AROUND_PAGES = 21
"""What a window finds missing on the average. It has a missing page in its middle and overlaps others, so
that their middles fill 0.7476 of the places there are for them half a window apart (Rényi's parking)."""


def count_first_faults(machine: Machine, pages: int) -> None:
    """A file is touched in its order: what follows is read before it is asked for."""
    _count_faults(machine, pages, marks=-(-pages // READAHEAD_PAGES), major=min(pages, 1))
    filemap.count_reads(machine, pages, thrashing=False)


def read_again(machine: Machine, task: Task) -> None:
    """filemap_fault() on what a second meets of the pages that reclaim took; OutOfMemory.

    Pages that went one after the other are neighbours. All that is read is mapped at once.
    """
    task.read_again += task.lost * rmap.used_again(task, 1, READ_AROUND_PAGES)
    pages = min(int(task.read_again), task.lost)
    task.read_again -= pages
    windows = -(-pages // READ_AROUND_PAGES)
    workingset.add(machine, pages, task.nid)
    for parts in vma_alloc.from_policy(machine, task, pages):
        for zone, extents in parts:
            _map(machine, zone, task, rmap.mapped(machine, Use.FILE, extents, task))
    _count_faults(machine, pages, marks=windows, major=windows)


def _map(machine: Machine, zone: Zone, task: Task, batch: Batch) -> None:
    node, pages = machine.node(zone.nid), batch.pages
    known = task.file_shadows
    shadows = known.take_evenly(pages * known.pages // task.lost)
    charge(machine, node, batch, pages)
    workingset.shadows_used(machine, sum(shadow.pages for shadow in shadows))
    refaults = workingset.refault(machine, node, shadows, file=True, in_fault=True)
    workingset.add_refaulted(node, zone, batch, refaults, (new_list(machine), Lru.ACTIVE_FILE))
    missed = sum(fate.pages for fate in refaults if fate.workingset)
    filemap.count_reads(machine, missed, thrashing=True)
    filemap.count_reads(machine, pages - missed, thrashing=False)


def new_list(machine: Machine) -> Lru:
    """folio_add_lru(): with lru_gen, what a fault brings is in the youngest generation."""
    return Lru.ACTIVE_FILE if machine.lru_gen.enabled else Lru.INACTIVE_FILE


def _count_faults(machine: Machine, pages: int, *, marks: int, major: int) -> None:
    """Who waits for a page, who maps what is around it, who comes to the mark in a window and reads on."""
    faults = -(-pages // FAULT_AROUND_PAGES) + marks + major
    machine.count_event(Item.PGMAJFAULT, major)
    machine.count_event(Item.PGFAULT, faults)
    psi.stall(machine, faults * psi.FAULT_NANOSECS, psi.CPU)
