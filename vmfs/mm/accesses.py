"""What tasks use again, second by second, and what of it has to come back (mm/memory.c).

A task with `touch` uses pages of all it has at random, each as likely as any other. What it finds in
memory costs nothing (rmap.py says what reclaim sees of it); what is swapped out faults, and so does what
is lost of its file (filemap_fault.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmfs.mm import filemap_fault, memory, psi, rmap, swap_state, swapfile, vma_alloc
from vmfs.mm.alloc_request import OutOfMemory
from vmfs.mm.exit import exit_task
from vmfs.mm.lru import Use
from vmfs.mm.vmstat import Item

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine
    from vmfs.mm.tasks import Task


def is_due(machine: Machine) -> bool:
    """Whether any task touches what is not in memory."""
    return any(task.memory.touch and _misses(task) for task in machine.tasks.values())


def _misses(task: Task) -> bool:
    return task.swap > 0 or task.lost > 0


def second(machine: Machine) -> None:
    """Every task touches what it does in a second; where there is no memory for it, it ends."""
    for task in [task for task in machine.tasks.values() if task.memory.touch and _misses(task)]:
        if task.pid in machine.tasks and not machine.panicked:
            with machine.acting(task.current._replace(is_paced=True)):
                _touch_again(machine, task)
    machine.touch()


def _touch_again(machine: Machine, task: Task) -> None:
    try:
        _swap_in_again(machine, task)
        filemap_fault.read_again(machine, task)
    except OutOfMemory:
        if task.pid in machine.tasks and not machine.panicked:
            exit_task(machine, task)


def _swap_in_again(machine: Machine, task: Task) -> None:
    """Of `swap` pages among all it has, so many different ones as are met on the average."""
    swap = task.swap
    task.touched += swap * rmap.used_again(task, 1)
    pages = min(int(task.touched), swap)
    task.touched -= pages
    for use, swapped in [(use, swapped) for use, swapped in task.swapped.items() if swapped]:
        share = pages * swapped // swap
        _do_swap_pages(machine, task, use, share)
        pages, swap = pages - share, swap - swapped


def _do_swap_pages(machine: Machine, task: Task, use: Use, pages: int) -> None:
    """do_swap_page(), once a page: readahead finds no neighbours that are used as well and reads none."""
    pages -= _map_cached(machine, task, use, pages)
    for parts in vma_alloc.from_policy(machine, task, pages):
        for zone, extents in parts:
            batch = rmap.mapped(machine, use, extents, task)
            memory.map_swapped(machine, zone, batch, in_fault=True)
            _free_swap(machine, task, use, extents.pages)
            machine.count_event(Item.PGMAJFAULT, extents.pages)
            memory.count_reads(machine, extents.pages)


def _map_cached(machine: Machine, task: Task, use: Use, pages: int) -> int:
    """Of so many pages, met at random, those that are in the swap cache yet; returns how many."""
    cached = swap_state.cached_of(machine, task) if use is Use.ANON else 0
    found = pages * cached // task.swapped[use]
    if found:
        swap_state.map_cached(machine, task, found)
        _free_swap(machine, task, use, found)
    return found


def _free_swap(machine: Machine, task: Task, use: Use, pages: int) -> None:
    """The slots of pages that are mapped again, and the faults."""
    task.swapped[use] -= pages
    swapfile.free_swap_pages(machine, pages)
    machine.count_event(Item.PGFAULT, pages)
    psi.stall(machine, pages * psi.FAULT_NANOSECS, psi.CPU)
