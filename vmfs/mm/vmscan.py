"""Reclaim: what is freed and in which order, direct reclaim, node reclaim (mm/vmscan.c). See also kswapd.py.

Pages on a list are reclaimed in their order, but for those that rmap.py finds referenced.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmfs.mm import (
    filemap,
    lru,
    lru_gen,
    page_alloc,
    psi,
    rmap,
    shrinker,
    swap_state,
    swapfile,
    wmark,
    workingset,
)
from vmfs.mm.lru import Batch, Lru, Use
from vmfs.mm.mmzone import Node, Zone
from vmfs.mm.vmstat import Item
from vmfs.mm.zonelist import zonelist

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

SWAP_CLUSTER_MAX = 32
MAX_RECLAIM_RETRIES = 16
DEF_PRIORITY = 12
RECLAIM_DISTANCE = 30
MAX_SWAPPINESS = 200
SWAPPED = (Use.ANON, Use.SHMEM, Use.UNKNOWN)  # what has no file to be written to
ON_DISK = (Use.FILE, Use.BUFFERS)
RECLAIM_ZONE, RECLAIM_WRITE, RECLAIM_UNMAP = 1, 2, 4


@dataclass(frozen=True, slots=True)
class ScanControl:
    """struct scan_control: who reclaims, up to which zone, and what it may touch."""

    highest_zoneidx: int
    kswapd: bool = False
    proactive: bool = False
    may_unmap: bool = True
    may_swap: bool = True
    may_writepage: bool = True
    slab: bool = True

    @property
    def reclaimer(self) -> tuple[Item, Item]:
        """reclaimer_offset(): where pages that are scanned and freed are counted."""
        if self.proactive:
            return Item.PGSCAN_PROACTIVE, Item.PGSTEAL_PROACTIVE
        if self.kswapd:
            return Item.PGSCAN_KSWAPD, Item.PGSTEAL_KSWAPD
        return Item.PGSCAN_DIRECT, Item.PGSTEAL_DIRECT


# -- direct and node reclaim -------------------------------------------------------------------


def try_to_free_pages(machine: Machine, zones: list[Zone], highest_zoneidx: int, want: int) -> int:
    """Direct reclaim over a zonelist, SWAP_CLUSTER_MAX pages a call; returns the pages freed."""
    if not zones:
        return 0
    control = ScanControl(highest_zoneidx)
    target = max(SWAP_CLUSTER_MAX, want)
    nodes = dict.fromkeys(machine.node(zone.nid) for zone in zones)
    freed = sum(shrink_node(machine, node, control, target) for node in nodes)
    _count_stalls(machine, highest_zoneidx, max(freed // SWAP_CLUSTER_MAX, 1))
    return freed


def give_up(machine: Machine, request: page_alloc.Request) -> None:
    """What MAX_RECLAIM_RETRIES rounds of an allocation leave behind: all were in vain, kswapd's as well."""
    _count_stalls(machine, request.highest_zoneidx, MAX_RECLAIM_RETRIES)
    for zone in zonelist(machine, request.nid, request.highest_zoneidx, request.thisnode):
        machine.node(zone.nid).kswapd_failures = MAX_RECLAIM_RETRIES


def _count_stalls(machine: Machine, highest_zoneidx: int, calls: int) -> None:
    stalled = machine.zone_names[highest_zoneidx].replace("HighMem", "High").upper()
    machine.count_event(Item[f"ALLOCSTALL_{stalled}"], calls)


def node_reclaim_allowed(machine: Machine, preferred: Zone, zone: Zone) -> bool:
    """zone_reclaim_mode is on, and the node is near and worth it."""
    if not machine.sysctl.zone_reclaim_mode & (RECLAIM_ZONE | RECLAIM_WRITE | RECLAIM_UNMAP):
        return False
    if machine.distance(preferred.nid, zone.nid) > RECLAIM_DISTANCE:
        return False
    node = machine.node(zone.nid)
    if node.cpus and zone.nid != preferred.nid:
        return False
    return _above_ratios(machine, node) != (0, 0)


def _above_ratios(machine: Machine, node: Node) -> tuple[int, int]:
    """Pages of page cache above min_unmapped_ratio, of reclaimable slab above min_slab_ratio."""
    cache = node_pagecache_reclaimable(machine, node) - wmark.min_unmapped_pages(machine, node)
    slab = node.page_state(Item.NR_SLAB_RECLAIMABLE) - wmark.min_slab_pages(machine, node)
    return max(cache, 0), max(slab, 0)


def node_pagecache_reclaimable(machine: Machine, node: Node) -> int:
    """mm/vmscan.c: node_pagecache_reclaimable(), in pages."""
    mode = machine.sysctl.zone_reclaim_mode
    if mode & RECLAIM_UNMAP:
        pages = node.page_state(Item.NR_FILE_PAGES)
    else:
        file = node.page_state(Item.NR_INACTIVE_FILE) + node.page_state(Item.NR_ACTIVE_FILE)
        pages = max(file - node.page_state(Item.NR_MAPPED), 0)
    dirty = 0 if mode & RECLAIM_WRITE else node.page_state(Item.NR_DIRTY)
    return max(pages - dirty, 0)


def node_reclaim(machine: Machine, node: Node, want: int) -> int:
    """__node_reclaim(), as often as an allocation of `want` pages would call it; returns the pages freed.

    Each call of the kernel frees SWAP_CLUSTER_MAX pages from both the lists and the slab caches and
    is not made once both are down to their ratios.
    """
    mode = machine.sysctl.zone_reclaim_mode
    control = ScanControl(
        machine.zone_index("Movable"),
        may_unmap=bool(mode & RECLAIM_UNMAP),
        may_swap=bool(mode & RECLAIM_UNMAP),
        may_writepage=bool(mode & RECLAIM_WRITE),
        slab=False,
    )
    cache, slab = _above_ratios(machine, node)
    wanted = max(want, SWAP_CLUSTER_MAX)
    share = min(1.0, wanted / max(cache + slab, 1))
    freed = shrink_node(machine, node, control, int(cache * share)) if cache else 0
    freed += shrinker.shrink_slab(machine, node, int(slab * share))
    machine.count_event(Item.ZONE_RECLAIM_SUCCESS, freed // SWAP_CLUSTER_MAX)
    machine.count_event(Item.ZONE_RECLAIM_FAILED, int(freed < want))
    return freed


def reclaim_node(machine: Machine, node: Node, pages: int, swappiness: int | None) -> int:
    """user_proactive_reclaim() on a node: up to `pages` pages, without swap when swappiness is 0."""
    control = ScanControl(machine.zone_index("Movable"), proactive=True, may_swap=swappiness != 0)
    freed = 0
    while freed < pages:
        step = shrink_node(machine, node, control, pages - freed)
        if not step:
            break
        freed += step
    return freed


# -- one node ----------------------------------------------------------------------------------


def shrink_node(machine: Machine, node: Node, control: ScanControl, target: int) -> int:
    """Reclaim about `target` pages of a node's lists and, in proportion, its slab caches."""
    zones = [zone for zone in node.zones if zone.managed_pages and zone.index <= control.highest_zoneidx]
    before = sum(lru.lru_size(zone, which) for zone in zones for which in Lru)
    freed = 0
    for anon in scan_order(machine, zones, control):
        if freed < target:
            freed += _shrink_kind(machine, node, zones, control, target - freed, anon)
    if control.slab and control.may_swap:
        wanted = (
            target - freed if not freed else freed * shrinker.freeable_pages(machine, node) // max(before, 1)
        )
        freed += shrinker.shrink_slab(machine, node, wanted, kswapd=control.kswapd)
    if freed:
        node.kswapd_failures = 0  # a kswapd that gave up has hope again
    return freed


def scan_order(machine: Machine, zones: list[Zone], control: ScanControl) -> tuple[bool, ...]:
    """get_scan_count(), reduced to which kind goes first: True stands for anonymous pages.

    The kernel scans both kinds in proportion where it takes both; here the cheaper one by
    swappiness goes first, which over a run frees the same pages.
    """
    if not control.may_swap or not swapfile.nr_swap_pages(machine):
        return (False,)
    if machine.lru_gen.enabled:  # the oldest generations of files go first but for the extremes
        return {0: (False,), MAX_SWAPPINESS: (True, False)}.get(machine.sysctl.swappiness, (False, True))
    inactive_file = sum(lru.lru_size(zone, Lru.INACTIVE_FILE) for zone in zones)
    file = inactive_file + sum(lru.lru_size(zone, Lru.ACTIVE_FILE) for zone in zones)
    free = sum(zone.free_pages for zone in zones)
    if file + free <= sum(wmark.high_wmark_pages(zone) for zone in zones):
        return (True, False)
    if inactive_file >> DEF_PRIORITY or machine.sysctl.swappiness <= 100:
        return (False, True)
    return (True, False)


def _shrink_kind(
    machine: Machine, node: Node, zones: list[Zone], control: ScanControl, target: int, anon: bool
) -> int:
    inactive, active = (Lru.INACTIVE_ANON, Lru.ACTIVE_ANON) if anon else (Lru.INACTIVE_FILE, Lru.ACTIVE_FILE)
    if anon:
        target = min(target, swapfile.nr_swap_pages(machine))
        lru_gen.age_anon(machine, node, zones)
    freed = 0
    for which in (inactive, active):
        sizes = {zone: lru.lru_size(zone, which) for zone in zones}
        total = sum(sizes.values())
        want = min(target - freed, total)
        for zone, size in sizes.items():
            share = min(-(-want * size // total) if total else 0, target - freed)
            if anon:
                share = min(share, swapfile.nr_swap_pages(machine))
            if share > 0:
                freed += _shrink_list(machine, node, zone, which, control, share)
    return freed


def _shrink_list(
    machine: Machine, node: Node, zone: Zone, which: Lru, control: ScanControl, pages: int
) -> int:
    """shrink_inactive_list(); pages of the active list are deactivated on the way."""
    batches, referenced = _isolate(machine, node, zone, which, control, pages)
    count = sum(batch.pages for batch in batches)
    if which in (Lru.ACTIVE_ANON, Lru.ACTIVE_FILE):
        machine.count_event(Item.PGDEACTIVATE, count)
        node.mod_state(Item.PGREFILL, count)
    anon = which in (Lru.INACTIVE_ANON, Lru.ACTIVE_ANON)
    scanned, stolen = control.reclaimer
    node.mod_state(scanned, count + referenced)
    node.mod_state(Item.PGSCAN_ANON if anon else Item.PGSCAN_FILE, count + referenced)
    _stall(machine, control, batches)
    for batch in batches:
        _reclaim_batch(machine, node, zone, batch)
    node.mod_state(stolen, count)
    node.mod_state(Item.PGSTEAL_ANON if anon else Item.PGSTEAL_FILE, count)
    if anon and control.may_unmap:
        _write_ahead(machine, node, zone, which, control, count)
    return count


def _isolate(
    machine: Machine, node: Node, zone: Zone, which: Lru, control: ScanControl, pages: int
) -> tuple[list[Batch], int]:
    """Up to `pages` pages to be reclaimed, off the list; and how many were passed over as referenced."""
    batches: list[Batch] = []
    left, referenced = lru.lru_size(zone, which), 0
    while pages > 0 and left > 0:
        want = min(pages, left)
        taken = lru.take(node, zone, which, want, mapped=control.may_unmap, dirty=control.may_writepage)
        if not taken:
            break
        left -= sum(batch.pages for batch in taken)
        for batch in taken:
            kept = rmap.folio_referenced(machine, batch)
            if kept:
                kept_batch = lru.split(batch, kept)
                kept_batch.seen_centisecs = machine.clock.uptime_centisecs
                lru.add(node, zone, Lru.ACTIVE_ANON, kept_batch)
                referenced += kept
            if not kept or kept_batch is not batch:
                batches.append(batch)
                pages -= batch.pages
    if not machine.lru_gen.enabled:
        machine.count_event(Item.PGACTIVATE, referenced)
    return batches, referenced


def _write_ahead(
    machine: Machine, node: Node, zone: Zone, which: Lru, control: ScanControl, pages: int
) -> None:
    """Those that come next are on their way to swap already when reclaim stops."""
    pages = min(pages, swap_state.room(machine), swapfile.nr_swap_pages(machine))
    for batch in lru.take(node, zone, which, pages, only=Use.ANON):
        _stall_for_writes(machine, control, batch.pages)
        _swap_out(machine, node, batch)
        swap_state.add_to_swap(machine, node, zone, batch)


def _stall(machine: Machine, control: ScanControl, batches: list[Batch]) -> None:
    """psi_memstall_enter(): who reclaims waits, also for what it writes; kswapd is told from the others."""
    who = psi.KSWAPD if control.kswapd else None
    written = sum(batch.pages if batch.use in SWAPPED else batch.dirty for batch in batches)
    nanosecs = sum(batch.pages for batch in batches) * psi.RECLAIM_NANOSECS
    psi.stall(machine, nanosecs, psi.MEMORY, who=who)
    _stall_for_writes(machine, control, written)


def _stall_for_writes(machine: Machine, control: ScanControl, pages: int) -> None:
    who = psi.KSWAPD if control.kswapd else None
    psi.stall(machine, pages * psi.DISK_NANOSECS, psi.MEMORY, psi.IO, who=who)


def _reclaim_batch(machine: Machine, node: Node, zone: Zone, batch: Batch) -> None:
    """shrink_folio_list(): write what is dirty, swap what is anonymous, free the pages."""
    if batch.use in SWAPPED:
        _swap_out(machine, node, batch)
    # What has been written comes to the end of its list, to be freed next: folio_rotate_reclaimable().
    machine.count_event(Item.PGROTATED, batch.dirty if batch.use in ON_DISK else batch.pages)
    filemap.uncharge(machine, node, zone, batch)
    if batch.use is Use.FILE:
        left = filemap.file_lru_pages(machine)
        machine.vfs.pages_dropped(batch.pages, left)
        workingset.eviction(machine, batch, left)
    page_alloc.free_pages(machine, zone, batch.extents, reclaim=True)


def _swap_out(machine: Machine, node: Node, batch: Batch) -> None:
    """folio_alloc_swap(), pageout()"""
    swapfile.get_swap_pages(machine, batch.pages)
    machine.count_event(Item.PSWPOUT, batch.pages)
    machine.count_event(Item.PGPGOUT, batch.pages * 8)
    node.mod_state(Item.NR_VMSCAN_WRITE, batch.pages)
    swapped = machine.swapped if batch.task is None else batch.task.swapped
    swapped[batch.use] = swapped.get(batch.use, 0) + batch.pages
