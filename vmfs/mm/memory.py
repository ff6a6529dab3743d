"""Faults: pages that tasks touch for the first time, or that come back from swap (mm/memory.c)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vmfs.mm import filemap, lru, lru_gen, mempolicy, oom_kill, page_alloc, page_free, psi, rmap, workingset
from vmfs.mm.alloc_request import Parts, Request, gfp_highuser_movable, portions
from vmfs.mm.lru import Batch, Lru, Use
from vmfs.mm.mmzone import Zone
from vmfs.mm.vmstat import Item

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine
    from vmfs.mm.tasks import Task


def fault(machine: Machine, task: Task, use: Use, pages: int) -> None:
    """do_anonymous_page() and its like on that many pages, spread as the task's policy says."""
    for portion in portions(machine, pages):
        for nid, share in mempolicy.spread(machine, task.nid, task.memory.policy, portion):
            _fault_node(machine, task, use, nid, share)
    psi.stall(machine, pages * psi.FAULT_NANOSECS, psi.CPU)
    if use is Use.FILE:
        machine.count_event(Item.PGMAJFAULT, -(-pages // filemap.READAHEAD_PAGES))
        machine.count_event(Item.PGPGIN, pages * filemap.SECTORS_PER_PAGE)
        psi.stall(machine, pages * psi.DISK_NANOSECS, psi.IO)


def _fault_node(machine: Machine, task: Task, use: Use, nid: int, pages: int) -> None:
    if task.memory.thp and use is Use.ANON and machine.thp.allows_advised:
        pages -= _fault_huge(machine, task, nid, pages >> machine.kernel.hpage_pmd_order)
    request = user_pages(machine, task, nid, pages, zeroed=use is Use.ANON)
    for parts in oom_kill.alloc_in_turns(machine, request, task):
        _map(machine, task, use, parts)
        machine.count_event(Item.PGFAULT, sum(extents.pages for _, extents in parts))
        _count_interleaved(machine, task, nid, [(zone, extents.pages) for zone, extents in parts])


def user_pages(machine: Machine, task: Task, nid: int, pages: int, *, zeroed: bool = False) -> Request:
    """What a fault of the task asks for where its policy is `nid`'s turn."""
    return replace(
        gfp_highuser_movable(machine, nid, pages, zeroed=zeroed),
        thisnode=task.memory.policy == mempolicy.BIND,
        cpu_nid=mempolicy.numa_node_id(machine, task.nid),
    )


def _fault_huge(machine: Machine, task: Task, nid: int, count: int) -> int:
    """do_huge_pmd_anonymous_page(), `count` times; returns the pages got."""
    order = machine.kernel.hpage_pmd_order
    cpu_nid = mempolicy.numa_node_id(machine, task.nid)
    got = page_alloc.alloc_pages_node(machine, nid, order, count, retry=False, cpu_nid=cpu_nid)
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
        filemap.charge(machine, machine.node(zone.nid), batch, batch.pages)
        lru.add(machine.node(zone.nid), zone, _list_of(machine, task, use), batch)
        if task.memory.mlock:
            zone.mod_state(Item.NR_MLOCK, batch.pages)
            machine.count_event(Item.UNEVICTABLE_PGS_MLOCKED, batch.pages)
            machine.count_event(Item.UNEVICTABLE_PGS_CULLED, batch.pages)


def _list_of(machine: Machine, task: Task, use: Use) -> Lru:
    if task.memory.mlock:
        return Lru.UNEVICTABLE
    return Lru.INACTIVE_FILE if use is Use.FILE else machine.new_anon_list


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
