"""Frees by way of the per-cpu lists (mm/page_alloc.c: free_unref_page_commit(), nr_pcp_free())."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from vmfs.kernel import Feature
from vmfs.mm.extents import Extents
from vmfs.mm.mmzone import MIGRATE_PCPTYPES, MigrateType, Zone
from vmfs.mm.pcp import HUGE

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

PCP_BATCH_SCALE_MAX = 5


def free_unref(machine: Machine, zone: Zone, cpu: int, extents: Extents, high: int, order: int = 0) -> None:
    """Pages go on a CPU's lists; each time these reach `high`, the oldest go on to the buddy lists.

    How many that are grows with every time, up to a limit: after a long row of frees the lists have
    that many less than `high` at least. What goes first is of the type that is freed.
    """
    total = zone.pageset.count(cpu) + extents.pages
    if total < high:
        put(zone, cpu, extents, order)
        return
    left = _left_huge(high, order) if order else _left(machine, zone, total, high, extents.pages)
    kept, rest = extents.take(left)
    first = put(zone, cpu, kept, order)
    older = _shrink(machine, zone, cpu, left, first)
    zone.free_area.free(Extents.concat([rest, older]))


def put(zone: Zone, cpu: int, extents: Extents, order: int = 0) -> list[int]:
    """Small pages go on the list of their page block's type; returns which lists got some."""
    if order:
        zone.pageset.put(cpu, extents, HUGE)
        return [HUGE]
    pieces = extents.chopped(1 << zone.buddy.pageblock_order)
    types = zone.buddy.types_of(pieces.start)
    pindex = np.where(types < MIGRATE_PCPTYPES, types, MigrateType.MOVABLE)
    found = [int(each) for each in np.flatnonzero(np.bincount(pindex))]
    for each in found:
        zone.pageset.put(cpu, pieces.select(pindex == each), each)
    return found


def _shrink(machine: Machine, zone: Zone, cpu: int, left: int, first: Collection[int]) -> Extents:
    surplus = zone.pageset.count(cpu) - left
    return zone.pageset.take_oldest(cpu, surplus, first, machine.kernel.hpage_pmd_order)


def _left(machine: Machine, zone: Zone, total: int, high: int, frees: int) -> int:
    """What is on the lists after that many frees, each of which gives up a burst at the most."""
    burst = _burst(machine, zone, high)
    return max(high - burst + (total - high) % burst, total - frees * burst, 0)


def _left_huge(high: int, order: int) -> int:
    """Huge pages fill a list up, since the first bursts are less than one."""
    return max((high >> order) - 1, 0) << order


def _burst(machine: Machine, zone: Zone, high: int) -> int:
    """nr_pcp_free(): what the lists give up at a time, in a long row of frees."""
    scale = PCP_BATCH_SCALE_MAX if machine.kernel.has(Feature.PCP_FREE_SCALED) else 0
    return max(min(zone.pageset_batch << scale, high - zone.pageset_batch), 1)


def shorten(machine: Machine, zone: Zone, cpus: Collection[int], high: int, pages: int) -> None:
    """What a row of frees, of movable `pages`, does to lists longer than `high` on each of these CPUs."""
    for cpu in cpus:
        total = zone.pageset.count(cpu)
        if total > high:
            left = _left(machine, zone, total, high, pages // len(cpus))
            zone.free_area.free(_shrink(machine, zone, cpu, left, [MigrateType.MOVABLE]))


def free_high(machine: Machine, zone: Zone, frees: int) -> None:
    """Slabs, as blocks larger than a page, at the end of a row of frees: the CPU's list goes with them.

    The row had to fill the list; since 6.7 a batch of them is enough.
    """
    least = zone.pageset_batch if machine.kernel.has(Feature.PCP_HIGH_AUTO) else zone.pageset_high_min
    if machine.kernel.has(Feature.PCP_FREE_HIGH) and frees > least:
        empty(machine, zone, machine.cpu_of(zone.nid))


def empty(machine: Machine, zone: Zone, cpu: int) -> None:
    """All on a CPU's lists goes to the buddy allocator; since 6.7 a limited number of pages at a time."""
    pages = zone.pageset.count(cpu)
    if machine.kernel.has(Feature.PCP_HIGH_AUTO):
        pages = min(pages, zone.pageset_batch << PCP_BATCH_SCALE_MAX)
    order = machine.kernel.hpage_pmd_order
    zone.free_area.free(zone.pageset.take_oldest(cpu, pages, huge_order=order))
