"""Blocks are taken off the free lists of one zone, and counted (mm/page_alloc.c: rmqueue())."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmfs.kernel import Feature
from vmfs.mm import kswapd, pcp
from vmfs.mm.alloc_request import Request
from vmfs.mm.extents import Extents
from vmfs.mm.mmzone import Zone
from vmfs.mm.vmstat import Item

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine


def rmqueue(machine: Machine, zone: Zone, preferred: Zone, request: Request) -> Extents:
    """Take blocks from a zone, small and huge ones by way of the per-cpu lists, and count them."""
    order = request.order
    if pcp.pcp_allowed_order(machine.kernel, order):
        got = _rmqueue_pcplist(machine, zone, request)
    else:
        got = _rmqueue_buddy(machine, zone, request, request.count)
    machine.count_event(Item[f"PGALLOC_{zone.event_name}"], got.pages)
    cpu_nid = request.nid if request.cpu_nid is None else request.cpu_nid
    zone_statistics(machine, preferred, zone, cpu_nid, got.pages >> order)
    return got


def _rmqueue_pcplist(machine: Machine, zone: Zone, request: Request) -> Extents:
    """What the list of the type lacks comes in batches, of two huge pages or of many small ones."""
    cpu, order, pindex = machine.cpu_of(request.nid), request.order, request.pindex
    held = zone.pageset.take(cpu, request.count << order, pindex)
    need = request.count - (held.pages >> order)
    if not need:
        return held
    batch = 2 if order else zone.pageset_batch
    asked = min(-(-need // batch) * batch, max(zone.free_pages >> order, need))
    fresh, spare = _rmqueue_buddy(machine, zone, request, asked).take(need << order)
    zone.pageset.put(cpu, spare, pindex)
    return Extents.concat([held, fresh])


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
