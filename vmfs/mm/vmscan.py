"""Reclaim: what is freed and in which order, direct reclaim, node reclaim (mm/vmscan.c).

scan_count.py says how much of each list is scanned, shrink_list.py what happens to the pages,
balance_pgdat.py and kswapd.py what reclaims in the background.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmfs.mm import alloc_request, lru, lru_gen, scan_count, shrink_list, shrinker, swapfile, wmark
from vmfs.mm.ctrl_pos import MAX_LRU_BATCH
from vmfs.mm.lru import Lru
from vmfs.mm.mmzone import Node, Zone
from vmfs.mm.scan_control import MAX_RECLAIM_RETRIES, SWAP_CLUSTER_MAX, Reclaim, ScanControl
from vmfs.mm.vmstat import Item
from vmfs.mm.zonelist import zonelist

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

RECLAIM_DISTANCE = 30
LOOKS = 3  # at a page until it is free: in use, written, gone
INACTIVE = (Lru.INACTIVE_ANON, Lru.INACTIVE_FILE)
RECLAIM_ZONE, RECLAIM_WRITE, RECLAIM_UNMAP = 1, 2, 4


# -- direct and node reclaim -------------------------------------------------------------------


def try_to_free_pages(machine: Machine, zones: list[Zone], highest_zoneidx: int, want: int) -> int:
    """Direct reclaim over a zonelist, SWAP_CLUSTER_MAX pages a call; returns the pages freed."""
    if not zones:
        return 0
    control = ScanControl(highest_zoneidx)
    target = max(SWAP_CLUSTER_MAX, want)
    nodes = list(dict.fromkeys(machine.node(zone.nid) for zone in zones))
    freed = 0
    for index, node in enumerate(nodes):
        freed += shrink_node(machine, node, control, -(-max(target - freed, 0) // (len(nodes) - index)))
    count_stalls(machine, highest_zoneidx, max(freed // SWAP_CLUSTER_MAX, 1))
    return freed


def give_up(machine: Machine, request: alloc_request.Request) -> None:
    """What MAX_RECLAIM_RETRIES rounds of an allocation leave behind: all were in vain, kswapd's as well."""
    count_stalls(machine, request.highest_zoneidx, MAX_RECLAIM_RETRIES)
    for zone in zonelist(machine, request.nid, request.highest_zoneidx, request.thisnode):
        machine.node(zone.nid).kswapd_failures = MAX_RECLAIM_RETRIES


def count_stalls(machine: Machine, highest_zoneidx: int, calls: int) -> None:
    """Direct reclaim was called so often."""
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
    if lru_gen.scans(machine, control):
        freed += shrinker.shrink_slab(machine, node, shrinker.rounds_for(machine, node, int(slab * share)))
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
    """Rounds over a node's lists and slab caches until `target` pages are freed; returns how many were."""
    reclaim = Reclaim(machine, node, control)
    priority = scan_count.first_priority(reclaim, target)
    vain = 0
    while reclaim.freed < target and vain < LOOKS:
        before = reclaim.progress
        if not shrink_round(reclaim, target, priority):
            break
        vain = vain + 1 if not priority and reclaim.progress == before else 0
        priority = max(priority - 1, 0)
    scan_count.snapshot_refaults(node)
    return reclaim.freed


def shrink_round(reclaim: Reclaim, target: int, priority: int) -> bool:
    """shrink_node() at a priority, until `target` pages are freed; whether it may go on."""
    machine, node, control = reclaim.machine, reclaim.node, reclaim.control
    if machine.lru_gen.enabled:
        if not lru_gen.scans(machine, control):
            return False
        before = reclaim.freed
        _evict_generations(reclaim, target)
        if control.trim_cache and reclaim.freed == before:
            return False
    else:
        scan = scan_count.get_scan_count(reclaim, priority)
        if control.trim_cache and scan.balance is not scan_count.ScanBalance.FILE:
            return False
        _shrink_lists(reclaim, scan, target)
    if control.slab and control.may_swap:
        # Where the lists have nothing, what the caches have is wanted until there is enough.
        rounds = reclaim.rounds or shrinker.rounds_for(machine, node, target - reclaim.freed)
        reclaim.freed += shrinker.shrink_slab(machine, node, rounds, kswapd=control.kswapd)
    reclaim.rounds = 0.0
    if reclaim.freed:
        node.kswapd_failures = 0  # a kswapd that gave up has hope again
    return True


def _shrink_lists(reclaim: Reclaim, scan: scan_count.Scan, target: int) -> None:
    """One round: a part of each list, and so on until the target is freed or all was looked at.

    The kernel's scan SWAP_CLUSTER_MAX pages of each list in turn and, once enough is freed, go on with
    the longer one until both were scanned in proportion; here they are from the start.
    """
    left, step = dict(scan.pages), target - reclaim.freed
    if not any(left[which] for which in INACTIVE):
        _deactivate(reclaim, scan)
    while reclaim.freed < target and (total := left[Lru.INACTIVE_ANON] + left[Lru.INACTIVE_FILE]):
        before, part = reclaim.freed, min(step, total)
        reclaim.rounds += part / sum(scan.pages[each] for each in INACTIVE) / (1 << scan.priority)
        for which, listed in left.items():
            pages = min(-(-listed * part // total), listed)
            left[which] -= pages
            if which in INACTIVE:
                shrink_list.shrink_inactive_list(reclaim, which, pages, target - reclaim.freed)
            elif scan.deactivate[scan_count.is_file(which)]:
                shrink_list.shrink_active_list(reclaim, which, pages)
        step = 2 * step if reclaim.freed == before else target - reclaim.freed
    if swapfile.nr_swap_pages(reclaim.machine) and scan_count.inactive_is_low(reclaim.node, file=False):
        pages = SWAP_CLUSTER_MAX if reclaim.control.kswapd else target
        shrink_list.shrink_active_list(reclaim, Lru.ACTIVE_ANON, pages)


def _deactivate(reclaim: Reclaim, scan: scan_count.Scan) -> None:
    """What a round does where no page is inactive."""
    for which in (Lru.ACTIVE_ANON, Lru.ACTIVE_FILE):
        if scan.deactivate[scan_count.is_file(which)]:
            shrink_list.shrink_active_list(reclaim, which, scan.pages[which])


def _evict_generations(reclaim: Reclaim, target: int) -> None:
    """lru_gen_shrink_node(): one kind until it has no pages left, then the other."""
    reclaimable = sum(lru.lru_size(zone, which) for zone in reclaim.zones for which in scan_count.ITEMS)
    before = reclaim.freed
    while lru_gen.age(reclaim.machine, reclaim.node):
        pass
    for anon in lru_gen.types_to_scan(reclaim.machine, reclaim.node, reclaim.control):
        if reclaim.control.trim_cache and anon:
            break
        if anon and lru_gen.in_oldest_generation(reclaim.node):
            lru_gen.sort_folios(reclaim.node)
            _evict(reclaim, Lru.INACTIVE_ANON, Lru.ACTIVE_ANON, target)
        if not anon:
            _evict(reclaim, Lru.INACTIVE_FILE, Lru.ACTIVE_FILE, target)
    reclaim.rounds = (reclaim.freed - before) / max(reclaimable, 1)


def _evict(reclaim: Reclaim, old: Lru, young: Lru, target: int) -> None:
    """evict_folios() until the target is freed; young ones age where there are no old ones left."""
    listed = sum(lru.lru_size(zone, which) for zone in reclaim.zones for which in (old, young))
    last = min(reclaim.scanned + LOOKS * listed, reclaim.nr_to_scan)
    batch = 0 if scan_count.is_file(old) else MAX_LRU_BATCH  # of those that are written first
    while reclaim.freed < target and reclaim.scanned < last:
        before = reclaim.scanned
        missing = min(target - reclaim.freed, last - reclaim.scanned)
        shrink_list.shrink_inactive_list(reclaim, old, max(missing, batch), missing)
        if reclaim.scanned == before:
            deactivated = reclaim.deactivated
            shrink_list.shrink_active_list(reclaim, young, missing)
            if reclaim.deactivated == deactivated:
                break
