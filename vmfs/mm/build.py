"""Counts become a machine: zones laid out over page frames, pages given to their owners."""

from __future__ import annotations

from collections.abc import Iterable

from vmfs.kernel import Kernel
from vmfs.mm import pcp_free
from vmfs.mm.extents import Extents
from vmfs.mm.hugetlb import Hstate
from vmfs.mm.layout import LayoutError, lay_out
from vmfs.mm.lru import HUGE_ORDER, ZONE_ITEMS, Batch, Lru, LruVec, Use, split
from vmfs.mm.mmzone import MigrateType, Node, Zone
from vmfs.mm.pcp import HUGE, PerCpuPages
from vmfs.mm.reserved import managed_frames
from vmfs.mm.slab import KmemCache
from vmfs.mm.snapshot import HugePageState, NodeState, SlabState, Snapshot, ZoneState
from vmfs.mm.swapfile import SwapArea
from vmfs.mm.used_pages import UsedPages
from vmfs.mm.vmstat import COLUMN, Counts, Item, Scope, items

SLABS = (
    (True, MigrateType.RECLAIMABLE, Item.NR_SLAB_RECLAIMABLE),
    (False, MigrateType.UNMOVABLE, Item.NR_SLAB_UNRECLAIMABLE),
)
"""Both kinds, and the page blocks that they are in."""


def fill_counts(counts: Counts, scope: Scope, values: dict[str, int]) -> None:
    """Store counters given by their text; what the kernel does not store (LIMIT) is passed over."""
    for item, column in COLUMN.items():
        if item.scope is scope and item.text in values:
            counts[column] = values[item.text]


def fill_moved_events(node: Node, kernel: Kernel, events: dict[str, int]) -> None:
    """Events that a later release counts by node: which node they fell on is not known."""
    for item in items(kernel, Scope.EVENT):
        if item.shows and item.text in events:
            node.mod_state(item.stored, events[item.text])


def build_zone(kernel: Kernel, nid: int, index: int, state: ZoneState) -> tuple[Zone, Extents]:
    """A zone with its free lists filled, and the pages in use."""
    try:
        buddy, present = lay_out(state, kernel.pageblock_order)
    except LayoutError as error:
        raise LayoutError(f"node {nid}, zone {state.name}: {error}") from None
    zone = Zone(
        nid,
        index,
        state.name,
        state.start_pfn,
        state.spanned,
        state.present,
        state.managed,
        state.cma,
        buddy,
        PerCpuPages(high=dict(state.pcp_high)),
        LruVec(),
        watermark_boost=state.boost,
    )
    fill_counts(zone.stat, Scope.ZONE, state.stat)
    fill_counts(zone.numa, Scope.NUMA, state.numa)
    if state.managed < buddy.nr_free_pages:
        raise LayoutError(f"node {nid}, zone {state.name}: more free pages than managed ones")
    return zone, managed_frames(buddy, state, present)


def build_node(kernel: Kernel, state: NodeState, hstates: list[Hstate], pools: list[HugePageState]) -> Node:
    built = [build_zone(kernel, state.nid, index, zone) for index, zone in enumerate(state.zones)]
    zones = UsedPages((zone, used) for zone, used in built if zone.populated)
    node = Node(state.nid, state.cpus, state.distances, tuple(zone for zone, _ in built))
    node.kswapd_failures = state.kswapd_failures
    fill_counts(node.stat, Scope.NODE, state.stat)
    # Huge pages are counted by node alone: they come after what is counted by zone.
    for (zone, _), counted in zip(built, state.zones, strict=True):
        _own_zone_pages(zones, node, zone, counted)
    for hstate, pool in zip(hstates, pools, strict=True):
        if pool.nr.get(state.nid, 0):
            hstate.adopt(pool, state.nid, zones.aligned(hstate.order, pool.nr[state.nid]))
    for reclaimable, migratetype, item in SLABS:
        for zone, pages in zones.of_type(node.page_state(item), migratetype) if zones.used else ():
            zone.slab[reclaimable] = pages
    for zone, rest in zones.used.items():
        zone.other = rest
    return node


def _own_zone_pages(zones: UsedPages, node: Node, zone: Zone, state: ZoneState) -> None:
    """The lists of reclaim, as far as the node's counters say what is on them, and the per-cpu lists."""
    if not zone.populated:
        return
    _fill_lru(zones, node, zone)
    counts = dict(state.pcp_count)
    for cpu, huge in state.pcp_huge.items():
        blocks = zones.whole_blocks(zone, zone.buddy.pageblock_order, huge)
        zone.pageset.put(cpu, blocks, HUGE)
        counts[cpu] -= blocks.pages
    _fill_small_lists(zones, zone, counts)


def _fill_small_lists(zones: UsedPages, zone: Zone, counts: dict[int, int]) -> None:
    left = sum(counts.values())
    typed, movable = zones.listed(zone, left)
    for cpu, pages in counts.items():
        share = typed.pages * pages // max(left, 1)
        mine, typed = typed.take(share)
        more, movable = movable.take(pages - share)
        pcp_free.put(zone, cpu, Extents.concat([mine, more]))
        left -= pages


def _fill_lru(zones: UsedPages, node: Node, zone: Zone) -> None:
    left = {
        Use.SHMEM: node.page_state(Item.NR_SHMEM),
        Use.ANON: node.page_state(Item.NR_ANON_PAGES),
        Use.SWAPCACHE: node.page_state(Item.NR_SWAPCACHED),
    }
    for use in left:
        left[use] -= sum(b.pages for z in node.zones for queue in z.lru.lists for b in queue if b.use is use)
    for lru, item in zip(Lru, ZONE_ITEMS, strict=True):
        pages = zone.page_state(item)
        file = lru in (Lru.INACTIVE_FILE, Lru.ACTIVE_FILE)
        shares = {Use.FILE: pages} if file else {use: min(pages, left[use]) for use in left}
        for use in () if file else left:
            shares[use] = min(pages - sum(shares[u] for u in shares if u.value < use.value), left[use])
            left[use] -= shares[use]
        shares[Use.UNKNOWN] = pages - sum(shares.values())
        for use, share in shares.items():
            if share > 0:
                zone.lru.lists[lru].append(Batch(use, zones.take(zone, share)))


def mark_buffers(nodes: Iterable[Node], pages: int) -> None:
    """So many of the file pages belong to block devices: the most recently used, as metadata is."""
    for node in nodes:
        for zone in reversed(node.zones):
            for lru in (Lru.ACTIVE_FILE, Lru.INACTIVE_FILE):
                for batch in list(zone.lru.lists[lru]):
                    pages -= _mark(zone, lru, batch, pages)


def mark_huge(nodes: Iterable[Node]) -> None:
    """File pages in huge folios: the most recently used."""
    for node in nodes:
        left = node.page_state(Item.NR_FILE_HUGEPAGES)
        for zone in reversed(node.zones):
            for which in (Lru.ACTIVE_FILE, Lru.INACTIVE_FILE):
                for batch in reversed(zone.lru.lists[which]):
                    if batch.use is Use.FILE:
                        batch.huge = min(batch.pages, left) >> HUGE_ORDER << HUGE_ORDER
                        left -= batch.huge


def _mark(zone: Zone, lru: Lru, batch: Batch, pages: int) -> int:
    if pages <= 0 or batch.use is not Use.FILE:
        return 0
    head = split(batch, pages)
    head.use = Use.BUFFERS
    if head is not batch:
        zone.lru.lists[lru].append(head)
    return head.pages


def build_caches(states: Iterable[SlabState]) -> list[KmemCache]:
    return [
        KmemCache(
            s.name,
            s.size,
            s.objects_per_slab,
            s.order,
            s.reclaimable,
            s.object_size,
            s.align,
            s.active_objs,
            s.num_objs,
            s.num_slabs,
        )
        for s in states
    ]


def build_hstates(snapshot: Snapshot) -> list[Hstate]:
    nids = [node.nid for node in snapshot.nodes if any(zone.present for zone in node.zones)]
    return [Hstate.of((s.size_kbytes >> 2).bit_length() - 1, nids, s) for s in snapshot.hugepages]


def build_swaps(snapshot: Snapshot) -> list[SwapArea]:
    return [SwapArea(s.name, s.kind, s.pages, s.used, s.priority) for s in snapshot.swaps]
