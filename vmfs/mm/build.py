"""Counts become a machine: zones laid out over page frames, pages given to their owners."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from vmfs.kernel import Kernel
from vmfs.mm import pcp_free
from vmfs.mm.buddy import Buddy
from vmfs.mm.extents import Extents, distinct
from vmfs.mm.hugetlb import Hstate
from vmfs.mm.layout import LayoutError, lay_out, reserved_first
from vmfs.mm.lru import HUGE_ORDER, Batch, Lru, LruVec, Use, split
from vmfs.mm.mmzone import MigrateType, Node, Zone
from vmfs.mm.pcp import HUGE, PerCpuPages
from vmfs.mm.slab import KmemCache
from vmfs.mm.snapshot import HugePageState, NodeState, SlabState, Snapshot, ZoneState
from vmfs.mm.swapfile import SwapArea
from vmfs.mm.vmstat import COLUMN, Counts, Item, Scope, items

_LRU_TEXTS = {
    Lru.INACTIVE_ANON: Item.NR_ZONE_INACTIVE_ANON,
    Lru.ACTIVE_ANON: Item.NR_ZONE_ACTIVE_ANON,
    Lru.INACTIVE_FILE: Item.NR_ZONE_INACTIVE_FILE,
    Lru.ACTIVE_FILE: Item.NR_ZONE_ACTIVE_FILE,
    Lru.UNEVICTABLE: Item.NR_ZONE_UNEVICTABLE,
}


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


class _Zones:
    """The zones of one node while their used pages are handed out."""

    def __init__(self, zones: Iterable[tuple[Zone, Extents]]) -> None:
        self.used = dict(zones)

    def take(self, zone: Zone, pages: int) -> Extents:
        """From one zone, for those whose pages can move: between free blocks, as far as there are such."""
        self.used[zone], taken = self.used[zone].take(self.used[zone].pages - pages)
        self._check(zone, taken.pages, pages)
        return taken

    def _check(self, zone: Zone, found: int, pages: int) -> None:
        if found < pages:
            raise LayoutError(f"node {zone.nid}, zone {zone.name}: more pages in use than it manages")

    def listed(self, zone: Zone, pages: int) -> tuple[Extents, Extents]:
        """For the per-cpu lists, from what LRU pages leave: of other page blocks, and of movable ones.

        The kernel's own pages are in the other blocks first; what is too much for them is on the lists.
        """
        used = self.used[zone]
        pieces = used.chopped(1 << zone.buddy.pageblock_order)
        is_movable = zone.buddy.types_of(pieces.start) == MigrateType.MOVABLE
        _, typed = pieces.select(~is_movable).take(used.pages - pages)
        movable = pieces.select(is_movable)
        _, movable = movable.take(movable.pages - (pages - typed.pages))
        self.used[zone] = used.minus(Extents.concat([typed, movable]).coalesced())
        self._check(zone, typed.pages + movable.pages, pages)
        return typed, movable

    def whole_blocks(self, zone: Zone, order: int, count: int) -> Extents:
        """Up to so many movable page blocks that are in use as a whole, from the top."""
        _, blocks = self.used[zone].aligned(order)
        blocks = blocks.chopped(1 << order)
        blocks = blocks.select(zone.buddy.types_of(blocks.start) == MigrateType.MOVABLE)
        _, top = blocks.take(max(blocks.pages - (count << order), 0))
        self.used[zone] = self.used[zone].minus(top.coalesced())
        return top

    def spread(self, pages: int) -> list[tuple[Zone, Extents]]:
        """From the node's zones, highest first, as the zonelist goes."""
        parts: list[tuple[Zone, Extents]] = []
        for zone in reversed(self.used):
            taken, self.used[zone] = self.used[zone].take(pages)
            pages -= taken.pages
            parts.append((zone, taken))
        if pages:
            raise LayoutError(f"node {parts[0][0].nid}: more pages in use than it manages")
        return parts

    def aligned(self, order: int, count: int) -> Extents:
        """Whole blocks, from the top; where there are too few, any pages must do."""
        found: list[Extents] = []
        for zone in reversed(self.used):
            _, blocks = self.used[zone].aligned(order)
            want = min(count << order, blocks.pages)
            _, top = blocks.take(blocks.pages - want)
            self.used[zone] = self.used[zone].minus(top.coalesced())
            count -= want >> order
            found.append(top)
        if count:
            found += [part for _, part in self.spread(count << order)]
        return Extents.concat(found)


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
    return zone, _managed(buddy, state, present)


def _managed(buddy: Buddy, state: ZoneState, present: Extents) -> Extents:
    """Of the present frames in use those that are managed: not the kernel's image or the memory map."""
    reserved = state.present - state.managed
    if reserved_first(state):
        managed = _scattered_last(buddy, present).take(reserved)[1]
    else:
        managed = _scattered_last(buddy, present.take(present.pages - reserved)[0])
    return _movable_last(buddy, managed)


def _scattered_last(buddy: Buddy, used: Extents) -> Extents:
    """The used pages that share a movable page block with small free blocks come last."""
    size = 1 << buddy.pageblock_order
    pieces = used.chopped(size)
    if not len(pieces.start):
        return used
    partial = distinct(buddy.small_free().chopped(size).start // size)
    last = np.isin(pieces.start // size, partial) & (buddy.types_of(pieces.start) == MigrateType.MOVABLE)
    return Extents.concat([pieces.select(~last).coalesced(), pieces.select(last).coalesced()])


def _movable_last(buddy: Buddy, used: Extents) -> Extents:
    """Pages that can move are looked for in movable page blocks, the kernel's own in others."""
    pieces = used.chopped(1 << buddy.pageblock_order)
    others = pieces.select(buddy.types_of(pieces.start) != MigrateType.MOVABLE).coalesced()
    return Extents.concat([others, used.minus(others)])


def build_node(kernel: Kernel, state: NodeState, hstates: list[Hstate], pools: list[HugePageState]) -> Node:
    built = [build_zone(kernel, state.nid, index, zone) for index, zone in enumerate(state.zones)]
    zones = _Zones((zone, used) for zone, used in built if zone.populated)
    node = Node(state.nid, state.cpus, state.distances, tuple(zone for zone, _ in built))
    node.kswapd_failures = state.kswapd_failures
    fill_counts(node.stat, Scope.NODE, state.stat)
    # Huge pages are counted by node alone: they come after what is counted by zone.
    for (zone, _), counted in zip(built, state.zones, strict=True):
        _own_zone_pages(zones, node, zone, counted)
    for hstate, pool in zip(hstates, pools, strict=True):
        if pool.nr.get(state.nid, 0):
            hstate.adopt(pool, state.nid, zones.aligned(hstate.order, pool.nr[state.nid]))
    for reclaimable, item in ((False, Item.NR_SLAB_UNRECLAIMABLE), (True, Item.NR_SLAB_RECLAIMABLE)):
        for zone, pages in zones.spread(node.page_state(item)) if zones.used else ():
            zone.slab[reclaimable] = pages
    for zone, rest in zones.used.items():
        zone.other = rest
    return node


def _own_zone_pages(zones: _Zones, node: Node, zone: Zone, state: ZoneState) -> None:
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


def _fill_small_lists(zones: _Zones, zone: Zone, counts: dict[int, int]) -> None:
    left = sum(counts.values())
    typed, movable = zones.listed(zone, left)
    for cpu, pages in counts.items():
        share = typed.pages * pages // max(left, 1)
        mine, typed = typed.take(share)
        more, movable = movable.take(pages - share)
        pcp_free.put(zone, cpu, Extents.concat([mine, more]))
        left -= pages


def _fill_lru(zones: _Zones, node: Node, zone: Zone) -> None:
    left = {
        Use.SHMEM: node.page_state(Item.NR_SHMEM),
        Use.ANON: node.page_state(Item.NR_ANON_PAGES),
        Use.SWAPCACHE: node.page_state(Item.NR_SWAPCACHED),
    }
    for use in left:
        left[use] -= sum(b.pages for z in node.zones for queue in z.lru.lists for b in queue if b.use is use)
    for lru, item in _LRU_TEXTS.items():
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
