"""A captured machine keeps the numbers that its kernel had stored, stale or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmfs.kernel import Feature, Kernel
from vmfs.mm import pageset, wmark
from vmfs.mm.mmzone import Watermark, Zone
from vmfs.mm.show_mem import si_mem_available
from vmfs.mm.vmstat_threshold import refresh_zone_stat_thresholds

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine
    from vmfs.mm.snapshot import Snapshot, ZoneState


def restore(machine: Machine, snapshot: Snapshot) -> None:
    """Watermarks, reserves, pagesets and thresholds; what the snapshot lacks is set up from managed_pages.

    Comes after the counters. Nothing prints totalreserve_pages: MemAvailable tells whether it was
    summed while the watermarks were boosted.
    """
    wmark.setup_empty_zones(machine)
    wmark.setup_per_zone_wmarks(machine)
    wmark.setup_per_zone_lowmem_reserve(machine)
    refresh_zone_stat_thresholds(machine)
    states = [state for node in snapshot.nodes for state in node.zones]
    zones = [zone for _, zone in machine.zones()]
    boosts = [_restore_zone(machine.kernel, *pair) for pair in zip(zones, states, strict=True)]
    wmark.calculate_totalreserve_pages(machine)
    pageset.zone_pcp_update(machine)
    for zone, state, boost in zip(zones, states, boosts, strict=True):
        zone.watermark_boost = boost
        if state.pageset is not None:
            zone.pageset_batch, zone.pageset_high_min, zone.pageset_high_max = state.pageset
    if wmark.is_min_free_kbytes_of_users(machine):
        machine.sysctl.user_min_free_kbytes = machine.sysctl.min_free_kbytes
    if any(boosts) and snapshot.mem_available is not None:
        _choose_totalreserve(machine, snapshot.mem_available)


def _choose_totalreserve(machine: Machine, mem_available: int) -> None:
    # The files of a capture were read one after another: the nearer of the two is the one.
    without = [node.totalreserve_pages for node in machine.nodes]
    error = abs(si_mem_available(machine) - mem_available)
    wmark.calculate_totalreserve_pages(machine)
    if abs(si_mem_available(machine) - mem_available) > error:
        for node, pages in zip(machine.nodes, without, strict=True):
            node.totalreserve_pages = pages


def _restore_zone(kernel: Kernel, zone: Zone, state: ZoneState) -> int:
    # Returns the boost, which is put back after all has been set up without it.
    boost = state.boost
    if state.watermark is not None:
        boost = boost or _hidden_boost(kernel, zone.watermark, state.watermark)
        minimum, low, high = (pages - boost for pages in state.watermark)
        zone.watermark = Watermark(minimum, low, high, high + low - minimum)
    if state.lowmem_reserve is not None:
        zone.lowmem_reserve = state.lowmem_reserve
    if state.stat_threshold is not None:
        zone.stat_threshold = state.stat_threshold
    return boost


def _hidden_boost(kernel: Kernel, computed: Watermark, printed: tuple[int, int, int]) -> int:
    # Old zoneinfo adds the boost to the watermarks and has no line for it. It grows by pageblocks;
    # less than one is a stale watermark.
    ahead = {shown - pages for shown, pages in zip(printed, computed[:3], strict=True)}
    boost = ahead.pop()
    hidden = not kernel.has(Feature.ZONEINFO_BOOST) and not ahead and boost >= 1 << kernel.pageblock_order
    return boost if hidden else 0
