"""What stands for files that a capture lacks: a machine of that size, as it is after boot.

Without zoneinfo the zones are those that the kernel would make of so much memory; totals and
counters are then fitted to what meminfo and vmstat say, so that these files show their text again.
"""

from __future__ import annotations

from dataclasses import dataclass

from vmfs.boot import boot
from vmfs.capture.parse_buddyinfo import ZoneKey
from vmfs.capture.text import CaptureError
from vmfs.capture.topology import Topology
from vmfs.capture.zones import largest_blocks
from vmfs.kernel import Kernel
from vmfs.mm.mmzone import MigrateType
from vmfs.mm.snapshot import NodeState, Snapshot, ZoneState, no_blocks
from vmfs.mm.vmstat import Scope, items
from vmfs.spec import NodeSpec, Spec, SpecError
from vmfs.spec.check import MEMORY_LIMIT

_MIB_KBYTES = 1 << 10
_LEAST_MIB = 128
_ROUNDED_MIB = 8
_MANAGED = 0.97  # of memory, after the kernel image and the page structs
_PAGE_KBYTES = 4

_ZONE_LISTS = ("inactive_anon", "active_anon", "inactive_file", "active_file", "unevictable")
_MEMINFO = {
    "nr_inactive_anon": "Inactive(anon)",
    "nr_active_anon": "Active(anon)",
    "nr_inactive_file": "Inactive(file)",
    "nr_active_file": "Active(file)",
    "nr_unevictable": "Unevictable",
    "nr_anon_pages": "AnonPages",
    "nr_mapped": "Mapped",
    "nr_shmem": "Shmem",
    "nr_dirty": "Dirty",
    "nr_writeback": "Writeback",
    "nr_slab_reclaimable": "SReclaimable",
    "nr_slab_unreclaimable": "SUnreclaim",
    "nr_page_table_pages": "PageTables",
    "nr_sec_page_table_pages": "SecPageTables",
    "nr_swapcached": "SwapCached",
    "nr_mlock": "Mlocked",
    "nr_bounce": "Bounce",
    "nr_writeback_temp": "WritebackTmp",
    "nr_anon_transparent_hugepages": "AnonHugePages",
    "nr_shmem_hugepages": "ShmemHugePages",
    "nr_shmem_pmdmapped": "ShmemPmdMapped",
    "nr_file_hugepages": "FileHugePages",
    "nr_file_pmdmapped": "FilePmdMapped",
}
"""Counters that meminfo shows as they are."""


@dataclass(slots=True)
class NodeTotals:
    """What is known of a node: pages, and counters by name."""

    managed: int
    free: int
    counters: dict[str, int]


def counters_of_meminfo(fields: dict[str, int]) -> dict[str, int]:
    """The counters behind meminfo, as far as it tells them; in pages."""
    counters = {name: fields[label] // _PAGE_KBYTES for name, label in _MEMINFO.items() if label in fields}
    cached = sum(fields.get(label, 0) for label in ("Cached", "Buffers", "SwapCached"))
    counters["nr_file_pages"] = fields.get("FilePages", cached) // _PAGE_KBYTES
    counters["nr_kernel_stack"] = fields.get("KernelStack", 0)
    return counters


def similar_machine(kernel: Kernel, managed_kbytes: list[int], topology: Topology) -> Snapshot:
    """A booted machine with so much memory in each node and as many CPUs. Its nodes count from 0.

    Raises CaptureError for hardware that no kernel of this architecture runs on.
    """
    owned = [len(cpus) for cpus in topology.nodes.values()]
    most = MEMORY_LIMIT[kernel.arch] // len(owned) >> 20
    nodes = []
    for nid, kbytes in enumerate(managed_kbytes):
        mib = max(_LEAST_MIB, int(kbytes / _MANAGED) // _MIB_KBYTES + _ROUNDED_MIB)
        first = sum(owned[:nid])
        nodes.append(NodeSpec(min(mib, most) << 20, tuple(range(first, first + owned[nid]))))
    try:
        booted = boot(Spec("capture", kernel, tuple(nodes)))
    except SpecError as error:
        raise CaptureError("proc/zoneinfo", 0, str(error)) from None
    booted.log = []  # a capture does not hold what its kernel said
    return booted


def fit(kernel: Kernel, node: NodeState, totals: NodeTotals, buddy: dict[ZoneKey, list[int]]) -> None:
    """Gives a booted node the totals and counters of the captured one."""
    if not totals.managed:
        node.zones = [ZoneState(zone.name) for zone in node.zones]
    zones = [zone for zone in node.zones if zone.present]
    _fit_managed(zones, totals.managed)
    _fit_free(node.nid, zones, totals.free, buddy)
    said = totals.counters
    node.stat |= {i.text: said[i.text] for i in items(kernel, Scope.NODE) if i.text in said}
    if zones:
        # Counted by zone, known by node: the highest zone has it all.
        zones[-1].stat |= {i.text: said[i.text] for i in items(kernel, Scope.ZONE) if i.text in said}
        zones[-1].numa |= {i.text: said[i.text] for i in items(kernel, Scope.NUMA) if i.text in said}
    _spread_lists(node, zones)


def _fit_managed(zones: list[ZoneState], managed: int) -> None:
    # The largest zone takes up the difference; only memory that there is can be managed.
    missing = managed - sum(zone.managed for zone in zones)
    for zone in sorted(zones, key=lambda zone: -zone.present):
        change = max(min(missing, zone.present - zone.managed), -zone.managed)
        zone.managed += change
        missing -= change
        zone.pcp_count = {}
        zone.watermark = zone.lowmem_reserve = zone.pageset = zone.stat_threshold = None


def _fit_free(nid: int, zones: list[ZoneState], free: int, buddy: dict[ZoneKey, list[int]]) -> None:
    # From the highest zone down all but a share of each stays free; buddyinfo knows better.
    left = free
    managed = max(sum(zone.managed for zone in zones), 1)
    for zone in zones:
        share = min(left, -(-free * zone.managed // managed))
        left -= share
        blocks = buddy.get((nid, zone.name))
        if blocks is None or _pages(blocks) > zone.managed:
            blocks = largest_blocks(zone.start_pfn, zone.present, share)
        zone.free = no_blocks()
        zone.free[MigrateType.MOVABLE] = list(blocks)


def _spread_lists(node: NodeState, zones: list[ZoneState]) -> None:
    # The lists of reclaim are counted by zone: the highest zones hold what fits into them.
    room = {zone.name: zone.managed - _pages(zone.free[MigrateType.MOVABLE]) for zone in zones}
    for name in _ZONE_LISTS:
        left = node.stat.get(f"nr_{name}", 0)
        for zone in reversed(zones):
            pages = min(left, room[zone.name])
            zone.stat[f"nr_zone_{name}"] = pages
            room[zone.name] -= pages
            left -= pages


def _pages(blocks: list[int]) -> int:
    return sum(count << order for order, count in enumerate(blocks))
