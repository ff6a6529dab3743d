"""Allocation along the zonelist, in bulk (mm/page_alloc.c).

A request for many blocks does what as many single calls would: each zone yields until its
watermark test fails, then the next zone is asked; below LOW kswapd is woken, below MIN the caller
reclaims. kswapd runs at once, where the kernel would run it beside the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vmfs.kernel import Feature
from vmfs.mm import compaction, gfp, kswapd, pcp_free, vmscan, wmark
from vmfs.mm.extents import Extents
from vmfs.mm.mmzone import MigrateType, Node, Zone
from vmfs.mm.pcp import order_to_pindex
from vmfs.mm.scan_control import SWAP_CLUSTER_MAX
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
    """`count` blocks of `order` wanted on node `nid`; `highest_zoneidx` follows from the GFP flags.

    `cpu_nid` is the node of the CPU that asks, where it is not `nid`; `gfp_mask` is what the log
    shows of it.
    """

    nid: int
    order: int
    count: int
    migratetype: MigrateType
    highest_zoneidx: int
    thisnode: bool = False
    may_oom: bool = True
    cpu_nid: int | None = None
    gfp_mask: int = gfp.GFP_KERNEL

    @property
    def pages(self) -> int:
        return self.count << self.order


def gfp_kernel(machine: Machine, nid: int, count: int, order: int = 0, reclaimable: bool = False) -> Request:
    """GFP_KERNEL (| __GFP_RECLAIMABLE)"""
    kind = MigrateType.RECLAIMABLE if reclaimable else MigrateType.UNMOVABLE
    mask = gfp.GFP_KERNEL | (gfp.RECLAIMABLE if reclaimable else 0)
    return Request(nid, order, count, kind, machine.zone_index("Normal"), gfp_mask=mask)


def gfp_highuser_movable(
    machine: Machine, nid: int, count: int, order: int = 0, *, zeroed: bool = False
) -> Request:
    """GFP_HIGHUSER_MOVABLE: user pages, which are `zeroed`, and the page cache."""
    mask = gfp.user_page(machine.kernel, zeroed=zeroed)
    return Request(nid, order, count, MigrateType.MOVABLE, machine.zone_index("Movable"), gfp_mask=mask)


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
    for node in woken:
        kswapd.wakeup_kswapd(machine, node, request.highest_zoneidx, awake=True)
    return parts


def portions(machine: Machine, pages: int) -> Iterator[int]:
    """A large request in pieces, so that what came first can be reclaimed for what comes last."""
    while pages > 0:
        portion = min(pages, max(machine.free_pages // 2, machine.totalram_pages // 64, 1))
        yield portion
        pages -= portion


def _slowpath(machine: Machine, request: Request, woken: dict[Node, None]) -> Parts:
    """__alloc_pages_slowpath(): kswapd, the MIN watermark, direct compaction and reclaim."""
    zones = zonelist(machine, request.nid, request.highest_zoneidx, request.thisnode)
    short = [zone for zone in zones if not compaction.ready(zone, request.order)]
    nodes = dict.fromkeys(machine.node(zone.nid) for zone in short)
    _wake_all_kswapds(machine, request, zones, nodes)
    woken.update(nodes)
    got = _from_freelists(machine, request, wmark.low_wmark_pages)
    got = got or _from_freelists(machine, request, wmark.min_wmark_pages)
    if not got and request.order:
        got = _direct_compact(machine, request, zones)
    if not got and short and vmscan.try_to_free_pages(machine, short, request.highest_zoneidx, request.pages):
        got = _after_reclaim(machine, request, zones)
    return got


def _wake_all_kswapds(machine: Machine, request: Request, zones: list[Zone], nodes: Iterable[Node]) -> None:
    """wake_all_kswapds(). Some of what they free would have been freed by who allocates a large block.

    Who does that drains the per-cpu lists: see _after_reclaim().
    """
    before = _unused_pages(zones)
    kswapd.wakeup_kswapds(machine, nodes, request.highest_zoneidx, request.pages, request.order)
    if _is_large(request) and _unused_pages(zones) > before:
        _drain_all_pages(zones)


def _unused_pages(zones: list[Zone]) -> int:
    return sum(zone.free_pages + zone.pageset.total for zone in zones)


def _after_reclaim(machine: Machine, request: Request, zones: list[Zone]) -> Parts:
    """__alloc_pages_direct_reclaim(): what was freed may all lie on per-cpu lists, which are drained then.

    So they are for a large block, of which what a call frees is only a part.
    """
    got = [] if _is_large(request) else _from_freelists(machine, request, wmark.min_wmark_pages)
    if not got:
        _drain_all_pages(zones)
        got = _from_freelists(machine, request, wmark.min_wmark_pages)
    return got


def _is_large(request: Request) -> bool:
    """Whether one call of direct reclaim frees less than a block."""
    return 1 << request.order > SWAP_CLUSTER_MAX


def _drain_all_pages(zones: list[Zone]) -> None:
    for zone in zones:
        drain_zone_pages(zone)


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
            got = rmqueue(machine, zone, zones[0], replace(request, count=count))
            left -= got.pages >> request.order
            parts.append((zone, got))
    return [(zone, got) for zone, got in parts if got.pages]


def _above_watermark(machine: Machine, zone: Zone, request: Request, mark: Mark) -> int:
    """How many blocks in a row would pass __zone_watermark_ok(): those of the per-cpu list lower nothing."""
    order = request.order
    spare = zone.free_pages - mark(zone) - zone.lowmem_reserve[request.highest_zoneidx]
    above = max(-(-(spare - (1 << order) + 1) >> order), 0)
    if above and pcp_allowed_order(machine, order):
        above += zone.pageset.held(machine.cpu_of(request.nid), _pindex(request)) >> order
    return above


def has_page(zone: Zone, highest_zoneidx: int) -> bool:
    """Whether the slow path finds a page in the zone, for a request of that highest zone."""
    return spare_pages(zone, highest_zoneidx) > 0


def spare_pages(zone: Zone, highest_zoneidx: int) -> int:
    """Free pages above the min watermark and the protection; negative below them."""
    return zone.free_pages - wmark.min_wmark_pages(zone) - zone.lowmem_reserve[highest_zoneidx]


def pcp_allowed_order(machine: Machine, order: int) -> bool:
    """Which orders go by way of the per-cpu lists. The kernel's orders 1 to 3, here, do not."""
    huge = order == machine.kernel.hpage_pmd_order and machine.kernel.has(Feature.PCP_HUGE_PAGES)
    return order == 0 or huge


def rmqueue(machine: Machine, zone: Zone, preferred: Zone, request: Request) -> Extents:
    """Take blocks from a zone, small and huge ones by way of the per-cpu lists, and count them."""
    order = request.order
    if pcp_allowed_order(machine, order):
        got = _rmqueue_pcplist(machine, zone, request)
    else:
        got = _rmqueue_buddy(machine, zone, request, request.count)
    machine.count_event(Item[f"PGALLOC_{zone.event_name}"], got.pages)
    cpu_nid = request.nid if request.cpu_nid is None else request.cpu_nid
    zone_statistics(machine, preferred, zone, cpu_nid, got.pages >> order)
    return got


def _rmqueue_pcplist(machine: Machine, zone: Zone, request: Request) -> Extents:
    """What the list of the type lacks comes in batches, of two huge pages or of many small ones."""
    cpu, order, pindex = machine.cpu_of(request.nid), request.order, _pindex(request)
    held = zone.pageset.take(cpu, request.count << order, pindex)
    need = request.count - (held.pages >> order)
    if not need:
        return held
    batch = 2 if order else zone.pageset_batch
    asked = min(-(-need // batch) * batch, max(zone.free_pages >> order, need))
    fresh, spare = _rmqueue_buddy(machine, zone, request, asked).take(need << order)
    zone.pageset.put(cpu, spare, pindex)
    return Extents.concat([held, fresh])


def _pindex(request: Request) -> int:
    return order_to_pindex(request.migratetype, request.order)


def _rmqueue_buddy(machine: Machine, zone: Zone, request: Request, count: int) -> Extents:
    pages, steals = zone.free_area.alloc(request.order, count, request.migratetype)
    boost_watermark(machine, zone, steals)
    return pages


def boost_watermark(machine: Machine, zone: Zone, steals: int) -> None:
    """mm/page_alloc.c: boost_watermark(), once for each block stolen below page block size.

    kswapd is woken by it (ZONE_BOOSTED_WATERMARK), reclaims that much and takes the boost back.
    """
    factor = machine.sysctl.watermark_boost_factor
    pageblock = 1 << machine.kernel.pageblock_order
    if not steals or not factor or zone.managed_pages < 4 * pageblock:
        return
    high = zone.watermark.high
    limit = max(high * factor // 10000, pageblock) if high else 0
    zone.watermark_boost = min(zone.watermark_boost + steals * pageblock, limit)
    kswapd.wakeup_kswapd(machine, machine.node(zone.nid), zone.index)


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
    """Give pages of one zone back, small and huge ones by way of the per-cpu lists.

    While the zone is reclaimed those lists are kept short (ZONE_RECLAIM_ACTIVE): kswapd, which frees,
    wanders over the CPUs of its node. Before, it filled that of a CPU where nobody else is.
    """
    if not extents.pages:
        return
    machine.count_event(Item.PGFREE, extents.pages)
    if pcp_allowed_order(machine, order):
        cpu, high = machine.cpu_of(zone.nid), zone.pageset_high_min
        if reclaim and machine.kernel.has(Feature.ZONE_RECLAIM_ACTIVE):
            high = min(4 * zone.pageset_batch, high)
            others = _cpus_reached(machine, zone, cpu, extents.pages)
            pcp_free.shorten(machine, zone, others, high, extents.pages)
        elif reclaim:
            cpu = (machine.node(zone.nid).cpus or machine.hardware.online_cpus)[-1]
        pcp_free.free_unref(machine, zone, cpu, extents, high, order)
    else:
        zone.free_area.free(extents)


def _cpus_reached(machine: Machine, zone: Zone, cpu: int, pages: int) -> list[int]:
    """Other CPUs with lists, to which reclaim gets that frees so many: SWAP_CLUSTER_MAX on each at least."""
    others = {*(machine.node(zone.nid).cpus or machine.hardware.online_cpus)} - {cpu}
    return sorted(zone.pageset.lists.keys() & others)[: (pages - 1) // SWAP_CLUSTER_MAX]


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


def alloc_pages_node(
    machine: Machine, nid: int, order: int, count: int, *, retry: bool, cpu_nid: int | None = None
) -> Extents:
    """As many blocks as one node yields, at most `count`: __GFP_THISNODE, movable.

    With `retry` compaction and reclaim are tried (__GFP_RETRY_MAYFAIL), as the kernel does until
    an attempt on the node has failed.
    """
    request = gfp_highuser_movable(machine, nid, count, order)
    request = replace(request, thisnode=True, may_oom=False, cpu_nid=cpu_nid)
    parts: Parts = []
    left = count
    while left:
        asked = replace(request, count=left)
        got = _from_freelists(machine, asked, wmark.low_wmark_pages)
        if not got and retry:
            got = _slowpath(machine, asked, {})
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
