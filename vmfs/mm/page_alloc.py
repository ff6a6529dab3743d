"""Allocation along the zonelist, in bulk (mm/page_alloc.c).

A request for many blocks does what as many single calls would: each zone yields until its
watermark test fails, then the next zone is asked; below LOW kswapd is woken, below MIN the caller
reclaims. kswapd runs to its end at once, where the kernel would run it beside the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vmfs.kernel import Feature
from vmfs.mm import compaction, vmscan, wmark
from vmfs.mm.extents import Extents
from vmfs.mm.mmzone import MigrateType, Node, Zone
from vmfs.mm.vmstat import Item
from vmfs.mm.zonelist import zonelist

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

Parts = list[tuple[Zone, Extents]]
Mark = Callable[[Zone], int]


class OutOfMemory(MemoryError):
    """No zone can yield what was asked; `parts` is what had been allocated until then."""

    def __init__(self, parts: Parts) -> None:
        super().__init__("out of memory")
        self.parts = parts


@dataclass(frozen=True, slots=True)
class Request:
    """`count` blocks of `order` wanted on node `nid`; `highest_zoneidx` follows from the GFP flags."""

    nid: int
    order: int
    count: int
    migratetype: MigrateType
    highest_zoneidx: int
    thisnode: bool = False
    may_oom: bool = True


def gfp_kernel(machine: Machine, nid: int, count: int, order: int = 0, reclaimable: bool = False) -> Request:
    """GFP_KERNEL (| __GFP_RECLAIMABLE)"""
    kind = MigrateType.RECLAIMABLE if reclaimable else MigrateType.UNMOVABLE
    return Request(nid, order, count, kind, machine.zone_index("Normal"))


def gfp_highuser_movable(machine: Machine, nid: int, count: int, order: int = 0) -> Request:
    """GFP_HIGHUSER_MOVABLE: user pages and the page cache."""
    return Request(nid, order, count, MigrateType.MOVABLE, machine.zone_index("Movable"))


def alloc_pages(machine: Machine, request: Request) -> Parts:
    """All of the request, or OutOfMemory with what was got. __alloc_pages()."""
    parts: Parts = []
    left = request.count
    while left:
        got = _from_freelists(machine, replace(request, count=left), wmark.low_wmark_pages)
        if not got:
            got = _slowpath(machine, replace(request, count=left))
        if not got:
            raise OutOfMemory(parts)
        parts += got
        left -= sum(e.pages for _, e in got) >> request.order
    return parts


def portions(machine: Machine, pages: int) -> Iterator[int]:
    """A large request in pieces, so that what came first can be reclaimed for what comes last."""
    while pages > 0:
        portion = min(pages, max(machine.free_pages // 2, machine.totalram_pages // 64, 1))
        yield portion
        pages -= portion


def _slowpath(machine: Machine, request: Request) -> Parts:
    """__alloc_pages_slowpath(): kswapd, the MIN watermark, direct compaction and reclaim."""
    zones = zonelist(machine, request.nid, request.highest_zoneidx, request.thisnode)
    want = request.count << request.order
    short = [zone for zone in zones if not compaction.ready(zone, request.order)]
    for node in dict.fromkeys(machine.node(zone.nid) for zone in short):
        vmscan.wakeup_kswapd(machine, node, request.highest_zoneidx, want)
    got = _from_freelists(machine, request, wmark.low_wmark_pages)
    got = got or _from_freelists(machine, request, wmark.min_wmark_pages)
    if not got and request.order:
        got = _direct_compact(machine, request, zones)
    if not got and short and vmscan.try_to_free_pages(machine, short, request.highest_zoneidx, want):
        got = _from_freelists(machine, request, wmark.min_wmark_pages)
    return got


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
    for zone in zones:
        if left <= 0:
            break
        got = _from_zone(machine, zone, zones[0], replace(request, count=left), mark)
        left -= got.pages >> request.order
        if got.pages:
            parts.append((zone, got))
    return parts


def _from_zone(machine: Machine, zone: Zone, preferred: Zone, request: Request, mark: Mark) -> Extents:
    allowed = _above_watermark(zone, request, mark)
    if allowed < request.count and vmscan.node_reclaim_allowed(machine, preferred, zone):
        vmscan.node_reclaim(machine, machine.node(zone.nid), request.count << request.order)
        allowed = _above_watermark(zone, request, mark)
    count = min(request.count, allowed)
    return rmqueue(machine, zone, preferred, replace(request, count=count)) if count > 0 else Extents.empty()


def _above_watermark(zone: Zone, request: Request, mark: Mark) -> int:
    """How many blocks in a row would pass __zone_watermark_ok()."""
    reserve = zone.lowmem_reserve[request.highest_zoneidx]
    spare = zone.free_pages - mark(zone) - reserve
    return max(-(-(spare - (1 << request.order) + 1) >> request.order), 0)


def rmqueue(machine: Machine, zone: Zone, preferred: Zone, request: Request) -> Extents:
    """Take blocks from a zone, order 0 by way of the per-cpu list, and count them."""
    cpu = machine.cpu_of(request.nid)
    held = zone.pageset.take(cpu, request.count) if request.order == 0 else Extents.empty()
    need = request.count - (held.pages >> request.order)
    fresh = Extents.empty()
    if need:
        batch = zone.pageset_batch if request.order == 0 else 1
        asked = min(-(-need // batch) * batch, max(zone.free_pages >> request.order, need))
        pages, steals = zone.free_area.alloc(request.order, asked, request.migratetype)
        boost_watermark(machine, zone, steals)
        fresh, spare = pages.take(need << request.order)
        if spare.pages:
            zone.pageset.put(cpu, spare)
    got = Extents.concat([held, fresh])
    machine.count_event(Item[f"PGALLOC_{zone.event_name}"], got.pages)
    zone_statistics(machine, preferred, zone, request.nid, got.pages >> request.order)
    return got


def boost_watermark(machine: Machine, zone: Zone, steals: int) -> None:
    """mm/page_alloc.c: boost_watermark(), once for each block stolen below page block size."""
    factor = machine.sysctl.watermark_boost_factor
    pageblock = 1 << machine.kernel.pageblock_order
    if not steals or not factor or zone.managed_pages < 4 * pageblock:
        return
    high = zone.watermark.high
    limit = max(high * factor // 10000, pageblock) if high else 0
    zone.watermark_boost = min(zone.watermark_boost + steals * pageblock, limit)


def zone_statistics(machine: Machine, preferred: Zone, zone: Zone, nid: int, calls: int) -> None:
    """mm/page_alloc.c: zone_statistics(): once a call, whatever the order."""
    if Feature.NUMA not in machine.kernel.features or not machine.sysctl.numa_stat or not calls:
        return
    zone.mod_state(Item.NUMA_LOCAL if zone.nid == nid else Item.NUMA_OTHER, calls)
    if zone.nid == preferred.nid:
        zone.mod_state(Item.NUMA_HIT, calls)
    else:
        zone.mod_state(Item.NUMA_MISS, calls)
        preferred.mod_state(Item.NUMA_FOREIGN, calls)


def free_pages(
    machine: Machine, zone: Zone, extents: Extents, order: int = 0, *, reclaim: bool = False
) -> None:
    """Give pages of one zone back: order 0 by way of the per-cpu list, the rest to the buddy lists.

    While the zone is reclaimed the per-cpu lists are kept short (ZONE_RECLAIM_ACTIVE).
    """
    if not extents.pages:
        return
    machine.count_event(Item.PGFREE, extents.pages)
    if order == 0:
        high = min(4 * zone.pageset_batch, zone.pageset_high_min) if reclaim else zone.pageset_high_min
        extents = _free_unref(machine, zone, extents, high)
    zone.free_area.free(extents)


def _free_unref(machine: Machine, zone: Zone, extents: Extents, high: int) -> Extents:
    """free_unref_page_commit(): what overflows the per-cpu list goes on to the buddy lists.

    Each time the list reaches `high`, a growing burst is freed; after the first few bursts the list
    swings between `batch` and `high`, which is where a long row of frees leaves it.
    """
    cpu = machine.cpu_of(zone.nid)
    batch = zone.pageset_batch
    total = zone.pageset.count(cpu) + extents.pages
    if total < high:
        zone.pageset.put(cpu, extents)
        return Extents.empty()
    keep = min(batch + (total - high) % max(high - batch, 1), total, max(high, 0))
    every = Extents.concat([extents, zone.pageset.take(cpu, total)])
    kept, rest = every.take(keep)
    if kept.pages:
        zone.pageset.put(cpu, kept)
    return rest


def free_by_zone(machine: Machine, parts: Parts, order: int = 0) -> None:
    for zone, extents in parts:
        free_pages(machine, zone, extents, order)


def split_by_zone(node: Node, extents: Extents) -> Parts:
    """A node's pages sorted into its zones."""
    spans = ((zone, Extents.run(zone.zone_start_pfn, zone.spanned_pages)) for zone in node.zones)
    parts = ((zone, extents.within(span)) for zone, span in spans if zone.populated)
    return [(zone, part) for zone, part in parts if part.pages]


def drain_zone_pages(zone: Zone) -> None:
    """drain_pages_zone() on every CPU."""
    zone.free_area.free(zone.pageset.drain())


def alloc_pages_node(machine: Machine, nid: int, order: int, count: int, *, retry: bool) -> Extents:
    """As many blocks as one node yields, at most `count`: __GFP_THISNODE, movable.

    With `retry` compaction and reclaim are tried (__GFP_RETRY_MAYFAIL), as the kernel does until
    an attempt on the node has failed.
    """
    request = replace(gfp_highuser_movable(machine, nid, count, order), thisnode=True, may_oom=False)
    parts: Parts = []
    left = count
    while left:
        asked = replace(request, count=left)
        got = _from_freelists(machine, asked, wmark.low_wmark_pages)
        if not got and retry:
            got = _slowpath(machine, asked)
        got = got or _from_freelists(machine, asked, wmark.min_wmark_pages)
        if not got:
            break
        parts += got
        left -= sum(e.pages for _, e in got) >> order
    return Extents.concat(extents for _, extents in parts)


def alloc_contig_node(machine: Machine, nid: int, pages: int, count: int) -> Extents:
    """As many aligned ranges of `pages` as one node yields, at most `count`: alloc_contig_pages().

    A range may hold free and movable pages; the movable ones are migrated out of it.
    """
    found: list[Extents] = []
    for zone in zonelist(machine, nid, machine.zone_index("Normal"), thisnode=True):
        drain_zone_pages(zone)
        found.append(compaction.isolate_ranges(zone, pages, count - sum(len(f.start) for f in found)))
        machine.count_event(Item[f"PGALLOC_{zone.event_name}"], found[-1].pages)
    return Extents.concat(found)


def free_node_pages(machine: Machine, nid: int, extents: Extents, order: int) -> None:
    """Blocks of a node back to the zones they came from."""
    free_by_zone(machine, split_by_zone(machine.node(nid), extents), order)
