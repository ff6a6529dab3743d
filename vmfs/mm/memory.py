"""Faults: pages that tasks touch for the first time, or that come back from swap (mm/memory.c)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vmfs.mm import (
    filemap,
    filemap_fault,
    lru,
    lru_gen,
    mempolicy,
    page_alloc,
    page_free,
    psi,
    rmap,
    vma_alloc,
    workingset,
)
from vmfs.mm.alloc_request import Parts, gfp_highuser_movable
from vmfs.mm.charge import charge
from vmfs.mm.lru import Batch, Lru, Use
from vmfs.mm.mmzone import Zone
from vmfs.mm.vmstat import Item

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine
    from vmfs.mm.tasks import Task


def fault(machine: Machine, task: Task, use: Use, pages: int) -> None:
    """do_anonymous_page() and its like on that many pages, spread as the task's policy says."""
    for nid, share in vma_alloc.spread(machine, task, pages):
        _fault_node(machine, task, use, nid, share)
    if use is Use.FILE:
        filemap_fault.count_first_faults(machine, pages)
    else:
        psi.stall(machine, pages * psi.FAULT_NANOSECS, psi.CPU)


def _fault_node(machine: Machine, task: Task, use: Use, nid: int, pages: int) -> None:
    if task.memory.thp and use is Use.ANON and machine.thp.allows_advised:
        pages -= _fault_huge(machine, task, nid, pages >> machine.kernel.hpage_pmd_order)
    if use is Use.FILE:
        workingset.add(machine, pages, nid)
    for parts in vma_alloc.from_node(machine, task, nid, pages, zeroed=use is Use.ANON):
        _map(machine, task, use, parts)
        if use is not Use.FILE:
            machine.count_event(Item.PGFAULT, sum(extents.pages for _, extents in parts))
        _count_interleaved(machine, task, nid, [(zone, extents.pages) for zone, extents in parts])


def _fault_huge(machine: Machine, task: Task, nid: int, count: int) -> int:
    """do_huge_pmd_anonymous_page(), `count` times; returns the pages got."""
    order = machine.kernel.hpage_pmd_order
    request = gfp_highuser_movable(machine, nid, count, order)
    request = replace(request, cpu_nid=mempolicy.numa_node_id(machine, task.nid))
    got = page_alloc.alloc_pages_node(machine, request, retry=False)
    parts = page_free.split_by_zone(machine.node(nid), got)
    _map(machine, task, Use.ANON, parts)
    done = got.pages >> order
    _count_thp(machine, task, nid, got.pages, count - done)
    machine.count_event(Item.PGFAULT, done)
    _count_interleaved(machine, task, nid, [(zone, extents.pages >> order) for zone, extents in parts])
    return got.pages


def _count_interleaved(machine: Machine, task: Task, nid: int, got: list[tuple[Zone, int]]) -> None:
    """Calls that an interleaving policy sent to `nid` and that were served there: interleave_hit."""
    if task.memory.policy == mempolicy.INTERLEAVE and machine.numa and machine.sysctl.numa_stat:
        for zone, calls in got:
            if zone.nid == nid:
                zone.mod_state(Item.NUMA_INTERLEAVE, calls)


def _count_thp(machine: Machine, task: Task, nid: int, pages: int, fallbacks: int) -> None:
    task.thp += pages
    machine.node(nid).mod_state(Item.NR_ANON_TRANSPARENT_HUGEPAGES, pages)
    machine.count_event(Item.THP_FAULT_ALLOC, pages >> machine.kernel.hpage_pmd_order)
    machine.count_event(Item.THP_FAULT_FALLBACK, fallbacks)


def _map(machine: Machine, task: Task, use: Use, parts: Parts) -> None:
    for zone, extents in parts:
        batch = rmap.mapped(machine, use, extents, task)
        charge(machine, machine.node(zone.nid), batch, batch.pages)
        lru.add(machine.node(zone.nid), zone, _list_of(machine, task, use), batch)
        if task.memory.mlock:
            zone.mod_state(Item.NR_MLOCK, batch.pages)
            machine.count_event(Item.UNEVICTABLE_PGS_MLOCKED, batch.pages)
            machine.count_event(Item.UNEVICTABLE_PGS_CULLED, batch.pages)


def _list_of(machine: Machine, task: Task, use: Use) -> Lru:
    if task.memory.mlock:
        return Lru.UNEVICTABLE
    return filemap_fault.new_list(machine) if use is Use.FILE else machine.new_anon_list


def map_swapped(machine: Machine, zone: Zone, batch: Batch, *, in_fault: bool) -> None:
    """Pages that were swapped out are their owner's again; which of them, is not kept."""
    node = machine.node(zone.nid)
    charge(machine, node, batch, batch.pages)
    if batch.task is None:
        shadows = workingset.unknown_shadows(machine, batch.pages)
    else:
        shadows = batch.task.shadows.take_evenly(batch.pages)
    refaults = workingset.refault(machine, node, shadows, file=False, in_fault=in_fault)
    # Those without a shadow were still in the swap cache when the area went.
    workingset.add_refaulted(
        node, zone, batch, refaults, (lru_gen.swapin_list(machine, node), Lru.ACTIVE_ANON)
    )


def count_reads(machine: Machine, pages: int) -> None:
    """swap_readpage(), for which the reader waits."""
    machine.count_event(Item.PSWPIN, pages)
    filemap.count_reads(machine, pages, thrashing=True)
