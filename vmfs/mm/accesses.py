"""What tasks use again, second by second, and what of it has to come back from swap (mm/memory.c).

A task with `touch` uses pages of all it has at random, each as likely as any other. What it finds in
memory costs nothing (rmap.py says what reclaim sees of it); what is swapped out faults.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vmfs.mm import (
    memory,
    mempolicy,
    oom_kill,
    page_alloc,
    psi,
    rmap,
    swap_state,
    swapfile,
    tasks,
    workingset,
)
from vmfs.mm.lru import Lru, Use
from vmfs.mm.mmzone import Node
from vmfs.mm.vmstat import Item

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine
    from vmfs.mm.tasks import Task


def is_due(machine: Machine) -> bool:
    """Whether any task touches what is swapped out."""
    return swapfile.used_swap_pages(machine) > 0 and any(
        task.memory.touch and task.swap for task in machine.tasks.values()
    )


def second(machine: Machine) -> None:
    """Every task touches what it does in a second; where there is no memory for it, it ends."""
    for task in [task for task in machine.tasks.values() if task.memory.touch]:
        if task.pid in machine.tasks and task.swap and not machine.panicked:
            with machine.acting(task.current):
                _touch_again(machine, task)
    machine.touch()


def _touch_again(machine: Machine, task: Task) -> None:
    """Of `swap` pages among all it has, so many different ones as are met on the average."""
    swap = task.swap
    task.touched += swap * rmap.used_again(task, 1)
    pages = min(int(task.touched), swap)
    task.touched -= pages
    try:
        for use, swapped in [(use, swapped) for use, swapped in task.swapped.items() if swapped]:
            share = pages * swapped // swap
            _do_swap_pages(machine, task, use, share)
            pages, swap = pages - share, swap - swapped
    except page_alloc.OutOfMemory:
        if task.pid in machine.tasks and not machine.panicked:
            tasks.exit_task(machine, task)


def _do_swap_pages(machine: Machine, task: Task, use: Use, pages: int) -> None:
    """do_swap_page(), once a page: readahead finds no neighbours that are used as well and reads none."""
    for portion in page_alloc.portions(machine, pages):
        request = page_alloc.gfp_highuser_movable(machine, task.nid, portion)
        bound = replace(request, thisnode=task.memory.policy == mempolicy.BIND)
        for parts in oom_kill.alloc_in_turns(machine, bound, task):
            for zone, extents in parts:
                node = machine.node(zone.nid)
                batch = rmap.mapped(machine, use, extents, task)
                memory.map_swapped(machine, node, zone, batch, _refault(machine, node, batch.pages))
                _free_swap(machine, task, use, batch.pages)


def _refault(machine: Machine, node: Node, pages: int) -> Lru:
    """workingset_refault(); returns the list that the pages go to. None was in the working set before."""
    active = workingset.activates_anon(machine, node)
    before = node.page_state(Item.WORKINGSET_REFAULT_ANON)
    workingset.refault_anon(machine, node, pages)
    if active:
        counted = node.page_state(Item.WORKINGSET_REFAULT_ANON) - before
        node.mod_state(Item.WORKINGSET_ACTIVATE_ANON, counted)
    return Lru.ACTIVE_ANON if active else Lru.INACTIVE_ANON


def _free_swap(machine: Machine, task: Task, use: Use, pages: int) -> None:
    """The slots of pages that are in memory again, and what the faults count."""
    task.swapped[use] -= pages
    swapfile.free_swap_pages(machine, pages)
    if swap_state.total_swapcache_pages(machine) > swapfile.used_swap_pages(machine):
        swap_state.delete_from_swap_cache(machine)
    machine.count_event(Item.PGFAULT, pages)
    machine.count_event(Item.PGMAJFAULT, pages)
    memory.count_reads(machine, pages)
    psi.stall(machine, pages * psi.FAULT_NANOSECS, psi.CPU)
