"""The swap cache, and readahead: what /sys/kernel/mm/swap sets (mm/swap_state.c).

A page that is swapped out is in the swap cache until its write is over and reclaim comes by again.
Writes take no time here; what reclaim had written when it stopped is what the cache holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmfs.mm import lru, page_free
from vmfs.mm.charge import charge
from vmfs.mm.lru import Batch, Lru, Use
from vmfs.mm.mmzone import Node, Zone
from vmfs.mm.vmstat import Item

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine
    from vmfs.mm.tasks import Task

LISTS = (Lru.INACTIVE_ANON, Lru.ACTIVE_ANON)


@dataclass(slots=True, eq=False)
class SwapReadahead:
    vma_ra_enabled: bool = True


def total_swapcache_pages(machine: Machine) -> int:
    return machine.global_page_state(Item.NR_SWAPCACHED) + machine.swapcache


def add_to_swap(machine: Machine, node: Node, zone: Zone, batch: Batch) -> None:
    """A batch that has its slots is nobody's mapping any more, and the next to be reclaimed."""
    charge(machine, node, batch, -batch.pages)
    batch.use = Use.SWAPCACHE
    charge(machine, node, batch, batch.pages)
    lru.add_tail(node, zone, Lru.INACTIVE_ANON, batch)


def cached_of(machine: Machine, task: Task) -> int:
    """Pages of a task that are in the swap cache, all anonymous."""
    queues = (lru.queue_of(zone, which) for _, zone in machine.zones() for which in LISTS)
    batches = (batch for queue in queues for batch in queue if batch.use is Use.SWAPCACHE)
    return sum(batch.pages for batch in batches if batch.task is task)


def map_cached(machine: Machine, task: Task, pages: int) -> None:
    """So many of them are the task's mapping again: do_swap_page() without a read."""
    for node, zone in machine.zones():
        for which in LISTS:
            for batch in lru.take_task(node, zone, which, task, pages, Use.SWAPCACHE):
                pages -= batch.pages
                charge(machine, node, batch, -batch.pages)
                batch.use, batch.accessed = Use.ANON, True
                charge(machine, node, batch, batch.pages)
                lru.add(node, zone, which, batch)


def delete_from_swap_cache(machine: Machine) -> None:
    """All of it goes; the slots are kept."""
    for node, zone in machine.zones():
        for which in (*LISTS, Lru.UNEVICTABLE):
            for batch in lru.take_use(node, zone, which, Use.SWAPCACHE):
                charge(machine, node, batch, -batch.pages)
                page_free.free_pages(machine, zone, batch.extents)
