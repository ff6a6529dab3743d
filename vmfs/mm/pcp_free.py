"""Frees by way of the per-cpu lists (mm/page_alloc.c: free_unref_page_commit(), nr_pcp_free())."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from vmfs.kernel import Feature
from vmfs.mm.extents import Extents
from vmfs.mm.mmzone import Zone

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

PCP_BATCH_SCALE_MAX = 5


def free_unref(machine: Machine, zone: Zone, cpu: int, extents: Extents, high: int, order: int = 0) -> None:
    """Pages go on a CPU's list; each time it reaches `high`, the oldest go on to the buddy lists.

    How many that are grows with every time, up to a limit: after a long row of frees the list has
    that many less than `high` at least.
    """
    total = zone.pageset.count(cpu) + extents.pages
    if total < high:
        zone.pageset.put(cpu, extents, order)
        return
    older = [zone.pageset.take(cpu, total, each) for each in (order, 1 - min(order, 1))]
    kept, rest = Extents.concat([extents, *older]).take(_left(machine, zone, total, order, high))
    if kept.pages:
        zone.pageset.put(cpu, kept, order)
    zone.free_area.free(rest)


def _left(machine: Machine, zone: Zone, total: int, order: int, high: int) -> int:
    """Huge pages fill a list up, since the first bursts are less than one."""
    if order:
        return max((high >> order) - 1, 0) << order
    burst = max(min(_burst(machine, zone), high - zone.pageset_batch), 1)
    return max(high - burst + (total - high) % burst, 0)


def _burst(machine: Machine, zone: Zone) -> int:
    """What a list gives up at a time, in a long row of frees."""
    scale = PCP_BATCH_SCALE_MAX if machine.kernel.has(Feature.PCP_FREE_SCALED) else 0
    return zone.pageset_batch << scale


def shorten(machine: Machine, zone: Zone, cpus: Iterable[int], high: int) -> None:
    """What the next free on each of these CPUs does to a list that is longer than `high`."""
    for cpu in zone.pageset.small.keys() & set(cpus):
        if zone.pageset.count(cpu) > high:
            free_unref(machine, zone, cpu, Extents.empty(), high)
