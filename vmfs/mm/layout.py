"""From counts to page frames: where the free blocks and the page blocks of a known zone lie.

A capture tells how many free blocks each list has, not where. Any placement in which no two free
buddies meet is one the kernel could have; this one keeps what is free and what is used of a migrate
type together, in as many page blocks as it has, and leaves the used memory in blocks as large as
possible. The cost follows the number of free blocks below the largest order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

import numpy as np

from vmfs.mm.buddy import MAX_BLOCK, Buddy
from vmfs.mm.extents import Extents, Pfns, distinct
from vmfs.mm.mmzone import MAX_PAGE_ORDER, MigrateType
from vmfs.mm.snapshot import ZoneState

_Placing = Callable[["Buddy", "ZoneState", "_Used"], None]
_OTHERS_FIRST = sorted(MigrateType, key=lambda t: t is MigrateType.MOVABLE)


class LayoutError(ValueError):
    """The counts cannot be those of one zone."""


class _Used:
    """Blocks not handed to a free list yet, by order; larger ones are broken on demand."""

    def __init__(self, memory: Extents) -> None:
        small, self.runs = memory.aligned(MAX_PAGE_ORDER)
        self.small: list[list[Pfns]] = [[starts] for starts in small]
        self.areas: dict[MigrateType, tuple[Pfns, _Used]] = {}

    def take(self, order: int, count: int) -> Pfns:
        """`count` blocks of `order`, the smallest sufficient ones first; fewer when they run out."""
        if count <= 0:
            return np.empty(0, np.int64)
        if order == MAX_PAGE_ORDER:
            taken, self.runs = self.runs.take(count * MAX_BLOCK)
            return taken.chopped(MAX_BLOCK).start
        have = np.sort(np.concatenate(self.small[order]))
        if len(have) < count:
            halves = self.take(order + 1, -(-(count - len(have)) // 2))
            have = np.concatenate((have, halves, halves + (1 << order)))
        self.small[order] = [have[count:]]
        return have[:count]

    def give(self, starts: Pfns, order: int) -> None:
        if order == MAX_PAGE_ORDER:
            self.runs = Extents.concat([Extents.blocks(starts, order), self.runs]).coalesced()
        else:
            self.small[order].append(starts)

    def area(self, migratetype: MigrateType, pageblock_order: int, count: int) -> _Used:
        """So many page blocks for a type: what is used of them is of that type as well."""
        starts = self.take(pageblock_order, count)
        area = _Used(Extents.blocks(starts, pageblock_order))
        self.areas[migratetype] = starts, area
        return area

    def rest(self) -> Extents:
        parts = [Extents.blocks(a, order) for order, arrays in enumerate(self.small) for a in arrays]
        areas = [area.rest() for _, area in self.areas.values()]
        return Extents.concat([*parts, *areas, self.runs]).coalesced()


def lay_out(state: ZoneState, pageblock_order: int) -> tuple[Buddy, Extents]:
    """The zone's free lists filled as counted, and the present pages in use.

    Each type in page blocks of its own; where these are too few, type after type, so that each keeps
    together; where a block finds no room then, as in a small zone whose every page block counts, order
    after order.
    """
    for placing in (_place_in_areas, _place_by_type):
        with suppress(LayoutError):
            return _laid_out(state, pageblock_order, placing)
    return _laid_out(state, pageblock_order, _place_by_order)


def _laid_out(state: ZoneState, pageblock_order: int, place_small: _Placing) -> tuple[Buddy, Extents]:
    buddy = Buddy(state.start_pfn, state.start_pfn + state.spanned, pageblock_order)
    used = _Used(_memory(state))
    _place_runs(buddy, state, used)
    place_small(buddy, state, used)
    rest = used.rest()
    _type_pageblocks(buddy, state, used, rest)
    return buddy, rest


def _memory(state: ZoneState) -> Extents:
    """The present frames: a small hole lies near the start (the legacy area), a large one at the end."""
    if state.spanned - state.present < MAX_BLOCK and state.start_pfn < MAX_BLOCK:
        hole = state.spanned - state.present
        edge = min(0x9F, state.start_pfn + state.present)
        low = Extents.run(state.start_pfn, edge - state.start_pfn)
        return Extents.concat([low, Extents.run(edge + hole, state.present - low.pages)])
    return Extents.run(state.start_pfn, state.present)


def reserved_first(state: ZoneState) -> bool:
    """Whether what was never managed lies at the zone's start, as firmware and the kernel's trampolines do.

    Elsewhere it is at the end, from which memblock allocates: the memory map, the initial RAM disk.
    """
    return state.start_pfn < MAX_BLOCK


def _place_runs(buddy: Buddy, state: ZoneState, used: _Used) -> None:
    """Blocks of the largest order come from the top, where an idle machine's free memory is.

    Above them is only what was reserved at boot.
    """
    wanted = [
        (migratetype, state.free[migratetype][MAX_PAGE_ORDER]) for migratetype in reversed(_OTHERS_FIRST)
    ]
    room = used.runs.pages - sum(count for _, count in wanted) * MAX_BLOCK
    if room < 0:
        raise LayoutError(f"more free blocks of order {MAX_PAGE_ORDER} than its span holds")
    reserved = -(-(state.present - state.managed) // MAX_BLOCK) * MAX_BLOCK
    low, top = used.runs.take(used.runs.pages - (0 if reserved_first(state) else min(room, reserved)))
    for migratetype, count in wanted:
        low, runs = low.take(low.pages - count * MAX_BLOCK)
        buddy.add_runs(runs, migratetype)
    used.runs = Extents.concat([low, top]).coalesced()


def _place_in_areas(buddy: Buddy, state: ZoneState, used: _Used) -> None:
    """Page blocks have free blocks of their type only, and what is used of them is of that type as well."""
    for migratetype in _OTHERS_FIRST:
        orders = range(MAX_PAGE_ORDER - 1, -1, -1)
        large = [order for order in orders if order >= buddy.pageblock_order]
        halves = _place_orders(buddy, state, used, migratetype, large)
        used.give(halves, buddy.pageblock_order)
        whole = len(buddy.pageblocks_of(migratetype))
        quota = state.pageblocks.get(migratetype, 0) - whole
        area = used
        if migratetype is not MigrateType.MOVABLE:
            area = used.area(migratetype, buddy.pageblock_order, quota)
        area.give(_place_orders(buddy, state, area, migratetype, orders[len(large) :]), 0)


def _place_orders(
    buddy: Buddy, state: ZoneState, used: _Used, migratetype: MigrateType, orders: Iterable[int]
) -> Pfns:
    halves = np.empty(0, np.int64)  # used, of the order above, beside this type's last free blocks
    for order in orders:
        halves = _place_small(buddy, state, used, (migratetype, order), halves)
    return halves


def _place_by_type(buddy: Buddy, state: ZoneState, used: _Used) -> None:
    for migratetype in _OTHERS_FIRST:
        used.give(_place_orders(buddy, state, used, migratetype, range(MAX_PAGE_ORDER - 1, -1, -1)), 0)


def _place_by_order(buddy: Buddy, state: ZoneState, used: _Used) -> None:
    for order in range(MAX_PAGE_ORDER - 1, -1, -1):
        for migratetype in _OTHERS_FIRST:
            halves = _place_small(buddy, state, used, (migratetype, order), np.empty(0, np.int64))
            used.give(halves, order)


def _place_small(
    buddy: Buddy, state: ZoneState, used: _Used, what: tuple[MigrateType, int], halves: Pfns
) -> Pfns:
    """Each free block takes half of a used block of the next order; returns the halves that stay used."""
    migratetype, order = what
    count = state.free[migratetype][order]
    edges = _edge_blocks(buddy, used, order)[: max(count - len(halves), 0)]
    _place_at(buddy, used, order, migratetype, edges)
    count -= len(edges)
    hosts, spare = halves[:count], halves[count:]
    hosts = np.concatenate((hosts, used.take(order + 1, count - len(hosts))))
    if len(spare):
        used.give(spare, order + 1)
    buddy.add(np.sort(hosts + (1 << order)), order, migratetype)
    if len(hosts) < count:
        _place_alone(buddy, used, order, migratetype, count - len(hosts))
    return hosts


def _edge_blocks(buddy: Buddy, used: _Used, order: int) -> Pfns:
    """Blocks whose buddy is not a whole one, as beside a hole: nothing else could use them free."""
    have = np.sort(np.concatenate(used.small[order]))
    mates = have ^ (1 << order)
    return have[~buddy.is_free(mates, order) & ~np.isin(mates, have)]


def _place_at(buddy: Buddy, used: _Used, order: int, migratetype: MigrateType, starts: Pfns) -> None:
    if len(starts):
        have = np.sort(np.concatenate(used.small[order]))
        used.small[order] = [have[~np.isin(have, starts)]]
        buddy.add(starts, order, migratetype)


def _place_alone(buddy: Buddy, used: _Used, order: int, migratetype: MigrateType, count: int) -> None:
    """Blocks whose buddy is used or absent anyway, as at a zone's edge."""
    have = np.sort(np.concatenate(used.small[order]))
    mates = have ^ (1 << order)
    fit = ~buddy.is_free(mates, order) & ~(np.isin(mates, have) & (have < mates))
    starts = have[fit][:count]
    if len(starts) < count:
        raise LayoutError(f"more free blocks of order {order} than its span holds")
    _place_at(buddy, used, order, migratetype, starts)


def _type_pageblocks(buddy: Buddy, state: ZoneState, used: _Used, rest: Extents) -> None:
    """Types for the blocks that hold a type's free pages, then for used ones, as many as counted."""
    for migratetype in _OTHERS_FIRST[:-1]:
        quota = state.pageblocks.get(migratetype, 0)
        if not quota:
            continue
        area, _ = used.areas.get(migratetype, (np.empty(0, np.int64), used))
        own = distinct(np.concatenate((buddy.pageblocks_of(migratetype), area)))[:quota]
        buddy.set_types(own, migratetype)
        quota -= len(own)
        if quota > 0:
            spare = rest.chopped(1 << buddy.pageblock_order).start
            spare = spare[buddy.types_of(spare) == MigrateType.MOVABLE]
            buddy.set_types(spare[:quota], migratetype)
    for migratetype in MigrateType:
        buddy.set_nr_pageblocks(migratetype, state.pageblocks.get(migratetype, 0))
