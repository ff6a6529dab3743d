"""Watermarks, reserves and per-cpu limits, as the kernel sets them up before boot is over.

It is the kernel's own set-up (mm/wmark.py) run over the zones as they are at that moment, since
what is freed later does not move them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from vmfs.kernel import Feature, Kernel
from vmfs.mm import vmstat_threshold, wmark
from vmfs.mm.buddy import Buddy
from vmfs.mm.lru import LruVec
from vmfs.mm.mmzone import PAGE_SHIFT, Node, Zone
from vmfs.mm.pcp import PerCpuPages
from vmfs.mm.snapshot import Hardware, NodeState, ZoneState
from vmfs.mm.sysctl import Sysctl

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

KBYTES_SHIFT = PAGE_SHIFT - 10
THP_PAGES_MIN = 512 << (20 - PAGE_SHIFT)
ADMIN_RESERVE_KBYTES, USER_RESERVE_KBYTES = 8192, 131072
Late = dict[tuple[int, str], int]
"""Pages freed later, by node and zone."""
RATIOS = {"DMA": 256, "DMA32": 256, "Normal": 32}  # sysctl_lowmem_reserve_ratio[]


@dataclass(slots=True)
class EarlyMachine:
    """As much of a machine as mm/wmark.py looks at."""

    kernel: Kernel
    nodes: list[Node]
    hardware: Hardware
    sysctl: Sysctl = field(default_factory=Sysctl)

    def zones(self) -> Iterator[tuple[Node, Zone]]:
        return ((node, zone) for node in self.nodes for zone in node.zones)


def set_up(kernel: Kernel, nodes: list[NodeState], hardware: Hardware, late: Late) -> Sysctl:
    """Fills in the zones' stored limits; returns the tunables that follow from memory."""
    early = EarlyMachine(kernel, [early_node(node, late) for node in nodes], hardware)
    early.sysctl.lowmem_reserve_ratio = [RATIOS.get(zone.name, 0) for zone in nodes[0].zones]
    _run(early, late)
    states = (zone for node in nodes for zone in node.zones)
    for state, (_, zone) in zip(states, early.zones(), strict=True):
        _keep(state, zone)
    return early.sysctl


def _run(early: EarlyMachine, late: Late) -> None:
    # init_per_zone_wmark_min(), then khugepaged_init() where there is memory for huge pages.
    machine = cast("Machine", early)
    wmark.setup_empty_zones(machine)
    wmark.calculate_min_free_kbytes(machine)
    wmark.setup_per_zone_wmarks(machine)
    vmstat_threshold.refresh_zone_stat_thresholds(machine)
    wmark.setup_per_zone_lowmem_reserve(machine)
    if sum(node.managed_pages for node in early.nodes) >= THP_PAGES_MIN:
        wmark.set_recommended_min_free_kbytes(machine, thp_enabled=True)
    if early.kernel.has(Feature.LOWMEM_RESERVE_FOLLOWS_MANAGED):
        for node, zone in early.zones():
            zone.managed_pages += late.get((node.nid, zone.name), 0)
        wmark.setup_per_zone_lowmem_reserve(machine)


def early_node(state: NodeState, late: Late) -> Node:
    zones = (
        Zone(
            state.nid,
            index,
            zone.name,
            zone.start_pfn,
            zone.spanned,
            zone.present,
            zone.managed - late.get((state.nid, zone.name), 0),
            0,
            Buddy(0, 0),
            PerCpuPages(),
            LruVec(),
        )
        for index, zone in enumerate(state.zones)
    )
    return Node(state.nid, state.cpus, state.distances, tuple(zones))


def _keep(state: ZoneState, zone: Zone) -> None:
    state.watermark = zone.watermark[:3]
    state.lowmem_reserve = zone.lowmem_reserve
    state.pageset = (zone.pageset_batch, zone.pageset_high_min, zone.pageset_high_max)
    state.stat_threshold = zone.stat_threshold


def reserves(free_pages: int) -> dict[str, int]:
    """init_admin_reserve() and init_user_reserve(), by what is free when they run."""
    share = (free_pages << KBYTES_SHIFT) // 32
    return {
        "admin_reserve_kbytes": min(share, ADMIN_RESERVE_KBYTES),
        "user_reserve_kbytes": min(share, USER_RESERVE_KBYTES),
    }
