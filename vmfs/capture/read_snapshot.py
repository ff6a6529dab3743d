"""The counts of a captured machine. What a file tells is taken; what is missing comes from a similar one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vmfs.capture import counters
from vmfs.capture.check import check_totals, check_use, check_zones
from vmfs.capture.choose_kernel import choose_kernel
from vmfs.capture.context import Capture
from vmfs.capture.guess import NodeTotals, counters_of_meminfo, fit, similar_machine
from vmfs.capture.hardware import read_hardware
from vmfs.capture.parse_buddyinfo import ZoneKey, parse_buddyinfo
from vmfs.capture.parse_meminfo import parse_meminfo
from vmfs.capture.parse_pagetypeinfo import parse_pagetypeinfo
from vmfs.capture.parse_slabinfo import parse_slabinfo
from vmfs.capture.parse_stat import parse_loadavg, parse_pressure, parse_processor, parse_stat, parse_uptime
from vmfs.capture.parse_swaps import parse_swaps
from vmfs.capture.parse_vmstat import parse_numastat, parse_vmstat
from vmfs.capture.parse_zoneinfo import ZoneText, parse_zoneinfo
from vmfs.capture.pools import read_pools
from vmfs.capture.slabs import read_caches
from vmfs.capture.text import CaptureError
from vmfs.capture.topology import NODES, Topology, read_topology
from vmfs.capture.zones import ZoneFiles, zone_states
from vmfs.kernel import Feature, Kernel
from vmfs.mm.mmzone import PAGE_SHIFT, zone_names
from vmfs.mm.scan_control import MAX_RECLAIM_RETRIES
from vmfs.mm.snapshot import NodeState, Snapshot, SwapState

_KBYTES_SHIFT = PAGE_SHIFT - 10
_DIRECT_MAP = "DirectMap"
_HUGE_PAGE_EVENTS = ("htlb_buddy_alloc_success", "thp_fault_alloc", "thp_collapse_alloc")
_RESOURCES = ("cpu", "io", "memory")
_RATIOS = "lowmem_reserve_ratio"
_SET_UP_BY = (
    _RATIOS,
    "min_free_kbytes",
    "percpu_pagelist_fraction",
    "percpu_pagelist_high_fraction",
    "watermark_scale_factor",
)


@dataclass(slots=True)
class _Files:
    # The files that more than one part of the snapshot is made of.
    zones: ZoneFiles
    meminfo: dict[str, int]
    vmstat: dict[str, int]


def _read_files(capture: Capture) -> _Files:
    zones = capture.need("proc/zoneinfo", parse_zoneinfo, "zones are made up to fit proc/meminfo") or []
    meminfo = capture.need("proc/meminfo", parse_meminfo, "proc/zoneinfo tells of memory") or {}
    if not zones and not meminfo:
        raise CaptureError(capture.source.name, 0, "not a capture: neither proc/zoneinfo nor proc/meminfo")
    vmstat = capture.need("proc/vmstat", parse_vmstat, "the events of a machine after boot are counted") or {}
    files = ZoneFiles(
        zones,
        capture.need("proc/buddyinfo", parse_buddyinfo, "free memory is taken to be in large blocks"),
        capture.need("proc/pagetypeinfo", parse_pagetypeinfo, "free memory is taken to be movable"),
        _huge_pages_freed(vmstat, meminfo),
    )
    return _Files(files, meminfo, vmstat)


def _huge_pages_freed(vmstat: dict[str, int], meminfo: dict[str, int]) -> int:
    """Those that were allocated, less those that are still there and may be on the lists of CPUs.

    None are, where as much page cache was dropped and has been read since: what is dropped goes over the
    lists, and takes all along that was there.
    """
    allocated = sum(vmstat.get(event, 0) for event in _HUGE_PAGE_EVENTS)
    there = meminfo.get("HugePages_Total", 0) + vmstat.get("nr_anon_transparent_hugepages", 0)
    freed = max(allocated - there, 0)
    cache_kbytes = meminfo.get("Active(file)", 0) + meminfo.get("Inactive(file)", 0)
    is_read_again = vmstat.get("drop_pagecache", 0) and cache_kbytes > freed * meminfo.get("Hugepagesize", 0)
    return 0 if is_read_again else freed


def read_snapshot(capture: Capture, asked: str | None, seed: int) -> Snapshot:
    """`asked`: a release to run it as, instead of the captured one. Raises CaptureError.

    A booted machine of the same size stands for all that is missing.
    """
    files = _read_files(capture)
    zones, buddy = files.zones.zones, files.zones.buddy or {}
    kernel = choose_kernel(capture, asked, zones, files.vmstat)
    _say_left_out(capture, kernel, files)
    check_zones(kernel, files.zones)
    check_totals(capture, zones, files.meminfo)
    topology = read_topology(capture, zones, buddy, kernel.has(Feature.NUMA))
    snapshot = similar_machine(kernel, _node_kbytes(capture, kernel, files, topology), topology)
    snapshot.name, snapshot.seed = capture.source.name, seed
    snapshot.hardware = read_hardware(capture, topology, files.meminfo, zones, snapshot.hardware)
    snapshot.nodes = _nodes(capture, kernel, files, topology, snapshot.nodes)
    snapshot.sysctl |= _set_up_by(capture, kernel)
    _pools(capture, snapshot, files)
    _slabs(capture, snapshot, files)
    snapshot.swaps = _swaps(capture, files.meminfo)
    _meminfo_only(snapshot, files.meminfo)
    _moments(capture, snapshot, files)
    return snapshot


def _pools(capture: Capture, snapshot: Snapshot, files: _Files) -> None:
    size = files.meminfo.get("Hugepagesize", snapshot.default_hugepage_kbytes)
    snapshot.default_hugepage_kbytes = size
    snapshot.hugepages = read_pools(capture, [node.nid for node in snapshot.nodes], files.meminfo, size)


def _set_up_by(capture: Capture, kernel: Kernel) -> dict[str, int | list[int]]:
    # The tunables that watermarks, reserves and per-cpu lists are computed from as the machine is built.
    texts = {name: text for name in _SET_UP_BY if (text := capture.text(f"proc/sys/vm/{name}"))}
    values: dict[str, int | list[int]] = {
        name: text.value() for name, text in texts.items() if name != _RATIOS
    }
    if text := texts.get(_RATIOS):
        ratios = text.numbers(1, text.only())
        zones = len(zone_names(kernel))
        values[_RATIOS] = (ratios + [0] * zones)[:zones]
    return values


def _say_left_out(capture: Capture, kernel: Kernel, files: _Files) -> None:
    unknown, missing = counters.left_out(kernel, files.vmstat) if files.vmstat else ([], [])
    release = f"{kernel.release[0]}.{kernel.release[1]}"
    order = files.zones.types.pageblock_order if files.zones.types else kernel.pageblock_order
    if order != kernel.pageblock_order:
        capture.warn(
            "proc/pagetypeinfo", f"page blocks of order {order} are counted as order {kernel.pageblock_order}"
        )
    if unknown:
        capture.warn("proc/vmstat", f"left out, {release} has no such counters: {', '.join(unknown)}")
    if missing:
        capture.warn("proc/vmstat", f"lacks counters of {release}, taken to be 0: {', '.join(missing)}")


def _node_kbytes(capture: Capture, kernel: Kernel, files: _Files, topology: Topology) -> list[int]:
    # Managed memory of each node.
    if files.zones.zones:
        return [
            sum(z.pages["managed"] for z in files.zones.zones if z.nid == nid) << _KBYTES_SHIFT
            for nid in topology.nodes
        ]
    return [totals.managed << _KBYTES_SHIFT for totals in _totals(capture, kernel, files, topology).values()]


def _totals(capture: Capture, kernel: Kernel, files: _Files, topology: Topology) -> dict[int, NodeTotals]:
    # Without zoneinfo: of each node by its own files, or a share of meminfo.
    totals: dict[int, NodeTotals] = {}
    for nid in topology.nodes:
        text = capture.text(f"{NODES}/node{nid}/meminfo")
        fields = parse_meminfo(text, nid) if text else files.meminfo
        vmstat = capture.parse(f"{NODES}/node{nid}/vmstat", parse_vmstat) or ({} if text else files.vmstat)
        said = counters_of_meminfo(fields) | counters.of_vmstat(kernel, vmstat)
        said |= capture.parse(f"{NODES}/node{nid}/numastat", parse_numastat) or {}
        share = (lambda count: count) if text else _share(files.zones.buddy, nid, len(topology.nodes))
        totals[nid] = NodeTotals(
            share(fields["MemTotal"] >> _KBYTES_SHIFT),
            share(fields["MemFree"] >> _KBYTES_SHIFT),
            {name: share(count) for name, count in said.items()},
        )
    return totals


def _share(buddy: dict[ZoneKey, list[int]] | None, nid: int, nodes: int) -> Callable[[int], int]:
    # By the nodes' free memory, else equal.
    free = {key: sum(count << order for order, count in enumerate(row)) for key, row in (buddy or {}).items()}
    if total := sum(free.values()):
        own = sum(pages for key, pages in free.items() if key[0] == nid)
        return lambda count: count * own // total
    return lambda count: count // nodes


def _nodes(
    capture: Capture, kernel: Kernel, files: _Files, topology: Topology, made: list[NodeState]
) -> list[NodeState]:
    guessed = {} if files.zones.zones else _totals(capture, kernel, files, topology)
    nodes: list[NodeState] = []
    for (nid, cpus), booted in zip(topology.nodes.items(), made, strict=True):
        booted.nid, booted.cpus, booted.distances = nid, cpus, topology.distances[nid]
        if nid in guessed:
            fit(kernel, booted, guessed[nid], files.zones.buddy or {})
            nodes.append(booted)
        else:
            nodes.append(_node(capture, kernel, files, booted))
    return nodes


def _node(capture: Capture, kernel: Kernel, files: _Files, booted: NodeState) -> NodeState:
    own: list[ZoneText] = [zone for zone in files.zones.zones if zone.nid == booted.nid]
    vmstat = capture.parse(f"{NODES}/node{booted.nid}/vmstat", parse_vmstat)
    node = NodeState(booted.nid, booted.cpus, booted.distances, zone_states(kernel, files.zones, booted.nid))
    node.stat = counters.node_counters(kernel, own, vmstat)
    counters.move_to_zones(kernel, node, own)
    given_up = any(zone.tail.get("node_unreclaimable") for zone in own)
    node.kswapd_failures = MAX_RECLAIM_RETRIES if given_up else 0
    return node


def _slabs(capture: Capture, snapshot: Snapshot, files: _Files) -> None:
    lines = capture.need("proc/slabinfo", parse_slabinfo, "the caches of a machine after boot are shown")
    check_use(files.zones.zones, lines or [], files.vmstat)
    if lines is not None:
        known = {cache.name: cache for cache in snapshot.slab_caches}
        snapshot.slab_caches = read_caches(capture, lines, known)


def _swaps(capture: Capture, meminfo: dict[str, int]) -> list[SwapState]:
    areas = capture.need("proc/swaps", parse_swaps, "one area of proc/meminfo's size stands for all")
    if areas is None:
        total, free = (meminfo.get(label, 0) >> _KBYTES_SHIFT for label in ("SwapTotal", "SwapFree"))
        areas = [SwapState("/swapfile", "file", total, max(total - free, 0), -2)] if total else []
    return areas


def _meminfo_only(snapshot: Snapshot, meminfo: dict[str, int]) -> None:
    # Counts that no other file has; which a kernel does not print are 0.
    if not meminfo:
        return

    def pages(label: str) -> int:
        return meminfo.get(label, 0) >> _KBYTES_SHIFT

    snapshot.buffers = pages("Buffers")
    if not snapshot.kernel.has(Feature.NR_SWAPCACHED_PER_NODE):
        snapshot.swapcache = pages("SwapCached")
    snapshot.committed_as = pages("Committed_AS")
    snapshot.mem_available = pages("MemAvailable") if "MemAvailable" in meminfo else None
    snapshot.percpu = pages("Percpu")
    snapshot.vmalloc_used = pages("VmallocUsed")
    snapshot.zswap_kbytes = meminfo.get("Zswap", 0), meminfo.get("Zswapped", 0)
    snapshot.hwpoisoned = pages("HardwareCorrupted")
    snapshot.direct_map = {
        label.removeprefix(_DIRECT_MAP): kb for label, kb in meminfo.items() if label.startswith(_DIRECT_MAP)
    }


def _moments(capture: Capture, snapshot: Snapshot, files: _Files) -> None:
    # What only moves with time and load.
    if vmstat := files.vmstat:
        snapshot.events = counters.events(snapshot.kernel, vmstat)
        snapshot.nr_memmap = vmstat.get("nr_memmap_pages", 0), vmstat.get("nr_memmap_boot_pages", 0)
    if uptime := capture.need("proc/uptime", parse_uptime, "the machine has just been booted"):
        snapshot.uptime_centisecs, snapshot.idle_centisecs = uptime
    if rows := capture.need("proc/stat", parse_stat, "the CPUs have been idle since boot"):
        snapshot.stat = dict(rows)
    cpu = capture.parse("proc/self/stat", parse_processor)
    snapshot.cpu = cpu if cpu in snapshot.hardware.online_cpus else None
    snapshot.stat |= capture.parse("proc/loadavg", parse_loadavg) or {}
    pressure = {name: capture.parse(f"proc/pressure/{name}", parse_pressure) for name in _RESOURCES}
    snapshot.stat["pressure"] = {name: rows for name, rows in pressure.items() if rows}
