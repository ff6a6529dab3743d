"""Allocation along the zonelist, in bulk (mm/page_alloc.c).

A request for many blocks does what as many single calls would: each zone yields until its
watermark test fails, then the next zone is asked; below LOW kswapd is woken, below MIN the caller
reclaims. kswapd runs at once, where the kernel would run it beside the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from vmfs.mm import compaction, kswapd, page_free, pcp, rmqueue, vmscan, wmark
from vmfs.mm.alloc_request import OutOfMemory, Parts, Request
from vmfs.mm.balance_pgdat import pgdat_balanced
from vmfs.mm.extents import Extents
from vmfs.mm.mmzone import Node, Zone
from vmfs.mm.scan_control import SWAP_CLUSTER_MAX
from vmfs.mm.vmstat import Item
from vmfs.mm.zonelist import zonelist

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

Mark = Callable[[Zone], int]


def alloc_pages(machine: Machine, request: Request) -> Parts:
    """All of the request, or OutOfMemory with what was got. __alloc_pages().

    Those who were woken for it get ahead when it has what it wants.
    """
    parts: Parts = []
    left = request.count
    woken: dict[Node, None] = {}
    while left:
        got = _from_freelists(machine, replace(request, count=left), wmark.low_wmark_pages)
        if not got:
            got = _slowpath(machine, replace(request, count=left), woken)
        if not got:
            raise OutOfMemory(parts)
        parts += got
        left -= sum(e.pages for _, e in got) >> request.order
    if woken:
        kswapd.wakeup_kswapds(machine, woken, request.highest_zoneidx, 0, 0)
    return parts


def _slowpath(machine: Machine, request: Request, woken: dict[Node, None]) -> Parts:
    """__alloc_pages_slowpath(): kswapd, the MIN watermark, direct compaction and reclaim."""
    zones = zonelist(machine, request.nid, request.highest_zoneidx, request.thisnode)
    short = [zone for zone in zones if not compaction.ready(zone, request.order)]
    nodes = dict.fromkeys(machine.node(zone.nid) for zone in zones)
    nodes = {n: None for n in nodes if not pgdat_balanced(n, request.highest_zoneidx, request.order)}
    _wake_all_kswapds(machine, request, zones, nodes)
    woken.update(nodes)
    got = _from_freelists(machine, request, wmark.low_wmark_pages)
    got = got or _from_freelists(machine, request, wmark.min_wmark_pages)
    if not got and request.order:
        got = _direct_compact(machine, request, zones)
    if not got and short and vmscan.try_to_free_pages(machine, short, request.highest_zoneidx, request.pages):
        got = _after_reclaim(machine, request)
    return got


def _wake_all_kswapds(machine: Machine, request: Request, zones: list[Zone], nodes: Iterable[Node]) -> None:
    """wake_all_kswapds(). Some of what they free would have been freed by who allocates a large block.

    Who does that drains the per-cpu lists: see _after_reclaim().
    """
    before = _unused_pages(zones)
    gap = kswapd.compact_gap(nodes, request.highest_zoneidx, request.order)
    want = min(request.pages, gap)
    kswapd.wakeup_kswapds(machine, nodes, request.highest_zoneidx, want, request.order)
    if _is_large(request) and _unused_pages(zones) > before:
        _drain_all_pages(machine)


def _unused_pages(zones: list[Zone]) -> int:
    return sum(zone.free_pages + zone.pageset.total for zone in zones)


def _after_reclaim(machine: Machine, request: Request) -> Parts:
    """__alloc_pages_direct_reclaim(): what was freed may all lie on per-cpu lists, which are drained then.

    So they are for a large block, of which what a call frees is only a part.
    """
    got = [] if _is_large(request) else _from_freelists(machine, request, wmark.min_wmark_pages)
    if not got:
        _drain_all_pages(machine)
        got = _from_freelists(machine, request, wmark.min_wmark_pages)
    return got


def _is_large(request: Request) -> bool:
    """Whether one call of direct reclaim frees less than a block."""
    return 1 << request.order > SWAP_CLUSTER_MAX


def _drain_all_pages(machine: Machine) -> None:
    """drain_all_pages(NULL): of all zones, whatever the request may take."""
    for _, zone in machine.zones():
        page_free.drain_zone_pages(zone)


def _direct_compact(machine: Machine, request: Request, zones: list[Zone]) -> Parts:
    """__alloc_pages_direct_compact()"""
    if not compaction.try_to_compact_pages(machine, zones, request.order):
        return []
    return _from_freelists(machine, request, wmark.min_wmark_pages)


def _from_freelists(machine: Machine, request: Request, mark: Mark) -> Parts:
    """get_page_from_freelist(), for as many blocks as the zones yield above `mark`."""
    zones = zonelist(machine, request.nid, request.highest_zoneidx, request.thisnode)
    parts: Parts = []
    left = request.count
    reclaimed: set[int] = set()
    for zone in zones:
        if left <= 0:
            break
        asked = replace(request, count=left)
        missing = left - _above_watermark(machine, zone, asked, mark)
        # The kernel reclaims for each page and zone anew; for a row of pages once a node is enough.
        if missing > 0 and zone.nid not in reclaimed and vmscan.node_reclaim_allowed(machine, zones[0], zone):
            reclaimed.add(zone.nid)
            vmscan.node_reclaim(machine, machine.node(zone.nid), missing << request.order)
        count = min(left, _above_watermark(machine, zone, asked, mark))
        if count > 0:
            got = rmqueue.rmqueue(machine, zone, zones[0], replace(request, count=count))
            left -= got.pages >> request.order
            parts.append((zone, got))
    return [(zone, got) for zone, got in parts if got.pages]


def _above_watermark(machine: Machine, zone: Zone, request: Request, mark: Mark) -> int:
    """How many blocks in a row would pass __zone_watermark_ok(): those of the per-cpu list lower nothing."""
    order = request.order
    spare = zone.free_pages - mark(zone) - zone.lowmem_reserve[request.highest_zoneidx]
    above = max(-(-(spare - (1 << order) + 1) >> order), 0)
    if above and pcp.pcp_allowed_order(machine.kernel, order):
        above += zone.pageset.held(machine.cpu_of(request.nid), request.pindex) >> order
    return above


def alloc_pages_node(machine: Machine, request: Request, *, retry: bool) -> Extents:
    """As many blocks as the request's node yields: __GFP_THISNODE.

    With `retry` compaction and reclaim are tried (__GFP_RETRY_MAYFAIL), as the kernel does until
    an attempt on the node has failed.
    """
    request = replace(request, thisnode=True)
    parts: Parts = []
    left = request.count
    while left:
        asked = replace(request, count=left)
        got = _from_freelists(machine, asked, wmark.low_wmark_pages)
        if not got and retry:
            got = _slowpath(machine, asked, {})
        got = got or _from_freelists(machine, asked, wmark.min_wmark_pages)
        if not got:
            break
        parts += got
        left -= sum(e.pages for _, e in got) >> request.order
    return Extents.concat(extents for _, extents in parts)


def alloc_contig_node(machine: Machine, nid: int, pages: int, count: int) -> Extents:
    """As many aligned ranges of `pages` as one node yields, at most `count`: alloc_contig_pages().

    A range may hold free and movable pages; the movable ones are migrated out of it.
    """
    found: list[Extents] = []
    for zone in zonelist(machine, nid, machine.zone_index("Normal"), thisnode=True):
        page_free.drain_zone_pages(zone)
        found.append(compaction.isolate_ranges(zone, pages, count - sum(len(f.start) for f in found)))
        machine.count_event(Item[f"PGALLOC_{zone.event_name}"], found[-1].pages)
    return Extents.concat(found)
