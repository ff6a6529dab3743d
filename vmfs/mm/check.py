"""Every page is in exactly one place: what must hold of a machine whatever was done to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from vmfs.mm import lru, pgtable
from vmfs.mm.buddy import Buddy
from vmfs.mm.extents import Extents
from vmfs.mm.lru import Lru, Use
from vmfs.mm.mmzone import MAX_PAGE_ORDER, NR_PAGE_ORDERS, MigrateType, Zone
from vmfs.mm.vmstat import Item

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

Rule = Callable[["Machine"], Iterator[str]]


class Broken(AssertionError):
    """All violations, one a line."""


def check(machine: Machine) -> None:
    """Raises Broken with every violation, not just the first."""
    found = [f"{rule.__name__}: {violation}" for rule in RULES for violation in rule(machine)]
    if found:
        raise Broken("\n".join(found))


def free_list_faults(buddy: Buddy) -> Iterator[tuple[int, str]]:
    """Per order, what is wrong with the free lists; nothing, if all is well."""
    for order in range(MAX_PAGE_ORDER):
        starts = np.concatenate([buddy.starts(order, migratetype) for migratetype in MigrateType])
        if (starts & ((1 << order) - 1)).any():
            yield order, "a free block is not aligned to its size"
        if np.isin(starts ^ (1 << order), starts).any():
            yield order, "two free buddies have not merged"


def _place(zone: Zone) -> str:
    return f"node {zone.nid}, zone {zone.name}"


def owners(machine: Machine, zone: Zone) -> list[Extents]:
    """Who has a zone's managed pages."""
    span = Extents.run(zone.zone_start_pfn, zone.spanned_pages)
    pools = [pool.free for h in machine.hstates for nid, pool in h.pools.items() if nid == zone.nid]
    used = [pages for h in machine.hstates for nid, pages in h.pages_in_use() if nid == zone.nid]
    return [
        zone.free_area.free_extents(),
        *zone.pageset.extents(),
        *zone.slab.values(),
        zone.other,
        *(batch.extents for queue in zone.lru.lists for batch in queue),
        *(pages.within(span) for pages in [*pools, *used]),
    ]


def every_page_has_one_owner(machine: Machine) -> Iterator[str]:
    for _, zone in machine.zones():
        every = Extents.concat(owners(machine, zone))
        if every.pages != zone.managed_pages:
            yield f"{_place(zone)}: {every.pages} pages have an owner, {zone.managed_pages} are managed"
        order = np.argsort(every.start)
        start, end = every.start[order], every.end[order]
        shared = int((start[1:] < end[:-1]).sum())
        if shared:
            yield f"{_place(zone)}: {shared} runs have two owners"


def free_lists_add_up(machine: Machine) -> Iterator[str]:
    for _, zone in machine.zones():
        pages = sum(zone.free_area.nr_free(order) << order for order in range(NR_PAGE_ORDERS))
        if pages != zone.free_pages:
            yield f"{_place(zone)}: the lists hold {pages} pages, nr_free_pages is {zone.free_pages}"


def free_blocks_are_aligned_and_merged(machine: Machine) -> Iterator[str]:
    for _, zone in machine.zones():
        for order, violation in free_list_faults(zone.free_area):
            yield f"{_place(zone)}, order {order}: {violation}"


def lists_of_reclaim_are_counted(machine: Machine) -> Iterator[str]:
    for _, zone in machine.zones():
        for which in Lru:
            pages, counted = zone.lru_pages(which), lru.lru_size(zone, which)
            if pages != counted:
                yield f"{_place(zone)}, {which.name}: {pages} pages listed, {counted} counted"


def dirty_pages_are_counted(machine: Machine) -> Iterator[str]:
    for node in machine.nodes:
        batches = (b for zone in node.zones for queue in zone.lru.lists for b in queue)
        dirty = sum(batch.dirty for batch in batches)
        if dirty > node.page_state(Item.NR_DIRTY):
            yield f"node {node.nid}: {dirty} pages are dirty, {node.page_state(Item.NR_DIRTY)} are counted"


def counters_are_not_negative(machine: Machine) -> Iterator[str]:
    for item in Item:
        count = machine.global_page_state(item)
        if count < 0:
            yield f"{item.text} is {count}"


def watermarks_rise(machine: Machine) -> Iterator[str]:
    for _, zone in machine.zones():
        mark = zone.watermark
        if not mark.min <= mark.low <= mark.high:
            yield f"{_place(zone)}: {mark}"


def slabs_hold_their_objects(machine: Machine) -> Iterator[str]:
    for cache in machine.slab_caches:
        if not 0 <= cache.active_objs <= cache.num_objs:
            yield f"{cache.name}: {cache.active_objs} of {cache.num_objs} objects are in use"


def swap_is_not_overdrawn(machine: Machine) -> Iterator[str]:
    for area in machine.swap_areas:
        if not 0 <= area.used <= area.pages:
            yield f"{area.name}: {area.used} of {area.pages} pages are in use"
    swapped = sum(task.swap for task in machine.tasks.values()) + sum(machine.swapped.values())
    used = sum(area.used for area in machine.swap_areas)
    if swapped != used:
        yield f"{swapped} pages are swapped out, the areas hold {used}"


def reservations_are_covered(machine: Machine) -> Iterator[str]:
    for hstate in machine.hstates:
        if hstate.resv_huge_pages > hstate.free_huge_pages:
            yield f"{hstate.size_kbytes} kB: {hstate.resv_huge_pages} reserved, {hstate.free_huge_pages} free"


def tasks_have_what_they_touched(machine: Machine) -> Iterator[str]:
    listed: dict[int, int] = dict.fromkeys(machine.tasks, 0)
    for _, zone in machine.zones():
        for queue in zone.lru.lists:
            for batch in queue:
                if batch.task is not None and batch.use is not Use.SWAPCACHE:
                    listed[batch.task.pid] = listed.get(batch.task.pid, 0) + batch.pages
    for pid, pages in listed.items():
        task = machine.tasks.get(pid)
        if task is None:
            yield f"{pages} pages belong to pid {pid}, which is gone"
        elif pages != task.rss:
            yield f"pid {pid}: {pages} pages listed, rss is {task.rss}"


def tasks_have_the_tables_of_their_mappings(machine: Machine) -> Iterator[str]:
    if machine.panicked:
        return  # in the middle of a fault
    for task in machine.tasks.values():
        tables = pgtable.of_task(machine, task)
        if task.tables != tables:
            yield f"pid {task.pid}: {task.tables}, its mappings need {tables}"


RULES: tuple[Rule, ...] = (
    every_page_has_one_owner,
    free_lists_add_up,
    free_blocks_are_aligned_and_merged,
    lists_of_reclaim_are_counted,
    dirty_pages_are_counted,
    counters_are_not_negative,
    watermarks_rise,
    slabs_hold_their_objects,
    swap_is_not_overdrawn,
    reservations_are_covered,
    tasks_have_what_they_touched,
    tasks_have_the_tables_of_their_mappings,
)
