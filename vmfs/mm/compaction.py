"""Moving pages together, so that large blocks become free (mm/compaction.c).

Two scanners: movable pages are taken from the start of the zone, free pages below page block size
from its end; they stop where they meet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vmfs.kernel import Feature
from vmfs.mm import pcp_free, psi, wmark
from vmfs.mm.extents import Extents, Pfns, distinct
from vmfs.mm.lru import Batch, Lru
from vmfs.mm.mmzone import NR_PAGE_ORDERS, MigrateType, Zone
from vmfs.mm.vmstat import Item

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

COSTLY_ORDER = 3  # PAGE_ALLOC_COSTLY_ORDER


def compact_zone(machine: Machine, zone: Zone, *, whole: bool, score: int | None = None) -> int:
    """Returns the pages moved. `whole` is what the administrator asks for: every page block.

    kcompactd of its own accord ends where the zone's fragmentation is down to `score`.

    Otherwise, on behalf of an allocation, page blocks that are not of the movable type are left
    alone (suitable_migration_source(), suitable_migration_target()), blocks are looked through that have
    pages to move or small free ones, and what was moved from leaves the per-cpu list at once.
    """
    batches = _movable(machine, zone)
    movable = Extents.concat([batch.extents for batch in batches]).coalesced()
    targets = zone.free_area.small_free()
    if not whole:
        movable, targets = _only_movable_blocks(zone, movable), _only_movable_blocks(zone, targets)
    order = zone.free_area.pageblock_order
    source, target = _meet(movable, targets, order)
    end = int(target.start.min()) if target.pages else zone.end_pfn
    if score is not None:
        source, end = _until_score(machine, zone, source, end, score)
        target = target.take(target.pages - source.pages)[1]
    looked_at = Extents.concat([movable, targets])
    scanned = _scanned_to(machine, zone, end) if whole else _blocks_of(looked_at, order)
    _count(machine, scanned, _blocks_of(target, order), source.pages)
    if source.pages:
        zone.free_area.isolate(target)
        _move(batches, source, target)
        if whole:
            cpu = machine.cpu_of(zone.nid)
            pcp_free.free_unref(machine, zone, cpu, source, zone.pageset_high_min)
        else:
            zone.free_area.free(source)
    return source.pages


def _movable(machine: Machine, zone: Zone) -> list[Batch]:
    lists = [lru for lru in Lru if lru is not Lru.UNEVICTABLE or machine.sysctl.compact_unevictable_allowed]
    return [batch for lru in lists for batch in zone.lru.lists[lru]]


def _only_movable_blocks(zone: Zone, extents: Extents) -> Extents:
    pieces = extents.chopped(1 << zone.free_area.pageblock_order)
    if not len(pieces.start):
        return pieces
    return pieces.select(zone.free_area.types_of(pieces.start) == MigrateType.MOVABLE)


def _meet(movable: Extents, targets: Extents, order: int) -> tuple[Extents, Extents]:
    """The pages to move and where to, equally many: as far as the scanners get before they meet."""
    size = 1 << order
    low, high = movable.chopped(size), targets.coalesced().chopped(size)
    if not len(low.start) or not len(high.start):
        return Extents.empty(), Extents.empty()
    moved = np.cumsum(low.length)
    first_after = np.searchsorted(high.start, (low.start // size + 1) * size)
    room = int(high.length.sum()) - np.concatenate(([0], np.cumsum(high.length)))[first_after]
    blocks = int(np.searchsorted(moved > room, True)) if (moved > room).any() else len(moved)
    source = Extents(low.start[:blocks], low.length[:blocks])
    _, above = high.take(high.pages - source.pages)
    return source.coalesced(), above.coalesced()


def _until_score(machine: Machine, zone: Zone, source: Extents, end: int, score: int) -> tuple[Extents, int]:
    """What of `source`, looked for up to `end`, moves until fragmentation is down to `score`, and where.

    A page block that is emptied, all else of it being free, is one that counts.
    """
    order = machine.kernel.hpage_pmd_order
    if extfrag_for_order(zone, order) <= score:
        return Extents.empty(), zone.zone_start_pfn
    blocks = distinct(source.chopped(1 << order).start >> order)
    emptied = _pages_of(blocks, source, order) + _pages_of(blocks, zone.free_area.free_extents(), order)
    small = _small_free_pages(zone, order) - (np.cumsum(emptied == 1 << order) << order)
    enough = np.flatnonzero(small * 100 // max(zone.free_pages, 1) <= score)
    if not len(enough):
        return source, end
    end = int(blocks[enough[0]] + 1) << order
    pieces = source.chopped(1 << order)
    return pieces.select(pieces.start < end).coalesced(), end


def _pages_of(blocks: Pfns, extents: Extents, order: int) -> Pfns:
    """How many of the pages each block has; blocks ascend."""
    pieces = extents.chopped(1 << order)
    at = np.searchsorted(blocks, pieces.start >> order)
    inside = np.append(blocks, -1)[at] == pieces.start >> order
    return np.bincount(at[inside], pieces.length[inside], len(blocks)).astype(np.int64)


def extfrag_for_order(zone: Zone, order: int) -> int:
    """mm/vmstat.c: per cent of the free pages that are in smaller blocks."""
    return _small_free_pages(zone, order) * 100 // zone.free_pages if zone.free_pages else 0


def _small_free_pages(zone: Zone, order: int) -> int:
    suitable = sum(zone.free_area.nr_free(o) << o for o in range(order, NR_PAGE_ORDERS))
    return zone.free_pages - suitable


def _scanned_to(machine: Machine, zone: Zone, end: int) -> int:
    """isolate_migratepages_block() over all blocks up to a frame, but for those of huge pages.

    A free block counts with all its pages or as one, by release; holes are taken to be spread evenly.
    """
    scanned = zone.present_pages - _huge_pages(machine, zone)
    if not machine.kernel.has(Feature.COMPACT_COUNTS_FREE_PAGES):
        scanned += sum(zone.free_area.nr_free(order) for order in range(NR_PAGE_ORDERS)) - zone.free_pages
    return scanned * (end - zone.zone_start_pfn) // zone.spanned_pages


def _huge_pages(machine: Machine, zone: Zone) -> int:
    """pageblock_skip_persistent(), in pages; those of a node are taken to be spread over its zones."""
    in_node = sum(hstate.nr_huge_pages_node(zone.nid) << hstate.order for hstate in machine.hstates)
    return in_node * zone.managed_pages // max(machine.node(zone.nid).managed_pages, 1)


def _blocks_of(target: Extents, order: int) -> int:
    """isolate_freepages_block() and its like over the page blocks that have some of these pages, in pages."""
    return len(distinct(target.chopped(1 << order).start >> order)) << order


def _move(batches: list[Batch], source: Extents, target: Extents) -> None:
    """migrate_pages(): each batch keeps its size and gets new frames for those that moved."""
    left = target
    for batch in _touched(batches, source):
        kept = batch.extents.minus(source)
        gone = batch.extents.pages - kept.pages
        if gone:
            fresh, left = left.take(gone)
            batch.extents = Extents.concat([kept, fresh])


def _touched(batches: list[Batch], pages: Extents) -> list[Batch]:
    """The batches that have some of these pages."""
    every = Extents.concat(batch.extents for batch in batches)
    owner = np.repeat(np.arange(len(batches)), [len(batch.extents.start) for batch in batches])
    return [batches[index] for index in np.unique(owner[every.overlaps(pages)])]


def _count(machine: Machine, migrate_scanned: int, free_scanned: int, moved: int) -> None:
    machine.count_event(Item.COMPACT_MIGRATE_SCANNED, migrate_scanned)
    machine.count_event(Item.COMPACT_FREE_SCANNED, free_scanned)
    machine.count_event(Item.COMPACT_ISOLATED, 2 * moved)
    machine.count_event(Item.PGMIGRATE_SUCCESS, moved)


def compact_gap(order: int) -> int:
    """Free pages that moving others together takes: the block itself, and what is in use meanwhile."""
    return 2 << order


def ready(zone: Zone, order: int) -> bool:
    """mm/vmscan.c: compaction_ready(): enough is free, so that moving pages is the way, not reclaim."""
    return order > COSTLY_ORDER and zone.free_pages > wmark.high_wmark_pages(zone) + compact_gap(order)


def try_to_compact_pages(machine: Machine, zones: list[Zone], order: int) -> bool:
    """Direct compaction; True when a block of `order` is free afterwards."""
    machine.count_event(Item.COMPACT_STALL, 1)
    for zone in zones:
        if compaction_suitable(zone, order, machine.sysctl.extfrag_threshold):
            zone.free_area.free(zone.pageset.drain())
            moved = compact_zone(machine, zone, whole=False)
            psi.stall(machine, moved * psi.MIGRATE_NANOSECS, psi.MEMORY)
    done = any(zone.free_area.has_block(order, (MigrateType.MOVABLE,)) for zone in zones)
    machine.count_event(Item.COMPACT_SUCCESS if done else Item.COMPACT_FAIL, 1)
    return done


def compaction_suitable(zone: Zone, order: int, threshold: int) -> bool:
    """Whether a zone has the free pages to move others to, and lacks a block because they are in pieces."""
    if order <= COSTLY_ORDER:
        return zone.free_pages > wmark.min_wmark_pages(zone) + compact_gap(order)
    enough = zone.free_pages > wmark.low_wmark_pages(zone) + compact_gap(order)
    return enough and fragmentation_index(zone, order) > threshold


def fragmentation_index(zone: Zone, order: int) -> int:
    """mm/vmstat.c: 0 for lack of memory … 1000 for fragmentation; -1000 when a block is there."""
    counts = [zone.free_area.nr_free(o) for o in range(11)]
    if not sum(counts):
        return 0
    if sum(counts[order:]):
        return -1000
    return 1000 - (1000 + zone.free_pages * 1000 // (1 << order)) // sum(counts)


def isolate_ranges(zone: Zone, pages: int, count: int) -> Extents:
    """Up to `count` aligned ranges emptied and taken, the lowest first: alloc_contig_range().

    Each range costs as many free pages outside as it holds movable ones.
    """
    batches = [batch for queue in zone.lru.lists for batch in queue]
    free = zone.free_area.free_extents()
    usable = Extents.concat([free, *(batch.extents for batch in batches)]).coalesced()
    whole = usable.chopped(pages)
    ranges = whole.select(whole.length == pages).take(count * pages)[0]
    while len(ranges.start):
        inside = free.within(ranges)
        moving = ranges.pages - inside.pages
        if moving <= free.pages - inside.pages:
            return _empty(zone, batches, ranges, inside)
        ranges = ranges.take(ranges.pages - pages)[0]
    return ranges


def _empty(zone: Zone, batches: list[Batch], ranges: Extents, inside: Extents) -> Extents:
    zone.free_area.isolate(inside)
    moving = ranges.pages - inside.pages
    if moving:
        target, _ = zone.free_area.alloc(0, moving, MigrateType.MOVABLE)
        _move(batches, ranges.coalesced().minus(inside.coalesced()), target)
    return ranges
