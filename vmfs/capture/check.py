"""Contradictions: what no machine can show, and what no skew between two reads explains.

Counters that move are compared with a wide margin: a system report takes minutes to collect.
"""

from __future__ import annotations

from vmfs.capture.context import Capture
from vmfs.capture.parse_buddyinfo import ZoneKey
from vmfs.capture.parse_meminfo import parse_meminfo
from vmfs.capture.parse_slabinfo import CacheLine
from vmfs.capture.parse_zoneinfo import ZoneText
from vmfs.capture.text import CaptureError
from vmfs.capture.topology import NODES
from vmfs.capture.zones import ZoneFiles
from vmfs.kernel import Kernel
from vmfs.mm.mmzone import MigrateType, zone_names
from vmfs.views.proc.pagetypeinfo import COUNTED

_ZONEINFO, _BUDDYINFO, _PAGETYPEINFO = "proc/zoneinfo", "proc/buddyinfo", "proc/pagetypeinfo"
_PFN_BITS = 40  # 52 bits of physical address
_PAGE_KBYTES = 4
_ASCENDING = (
    ("free", "managed"),
    ("managed", "present"),
    ("present", "spanned"),
    ("min", "low"),
    ("low", "high"),
)


def far_apart(one: int, other: int, total: int) -> bool:
    """More than the reading of one after the other explains: an eighth of all pages, or 64 MiB."""
    return abs(one - other) > max(total // 8, 16384)


def check_zones(kernel: Kernel, files: ZoneFiles) -> None:
    """Each zone by itself, and that the three files are about the same zones. Raises CaptureError."""
    if not files.zones:
        return
    known = zone_names(kernel)
    for zone in files.zones:
        if zone.name not in known:
            raise _at(zone, f"unknown zone {zone.name}; known: {', '.join(known)}")
        _sizes(zone)
        if zone.node_stat.keys() & zone.pages.keys():
            raise _at(zone, "a node's counters among the zone's")
    _same_zones_everywhere(files.zones)
    populated = {(z.nid, z.name): z for z in files.zones if z.pages["present"]}
    if files.buddy is not None:
        _same_keys(_BUDDYINFO, set(files.buddy), set(populated))
        for key, blocks in files.buddy.items():
            free = sum(count << order for order, count in enumerate(blocks))
            _free(_BUDDYINFO, populated[key], free)
    if files.types is not None:
        _same_keys(_PAGETYPEINFO, set(files.types.free), set(populated))
        for key, zone in populated.items():
            _types(files, key, zone)


def _at(zone: ZoneText, reason: str) -> CaptureError:
    return CaptureError(_ZONEINFO, zone.line, reason)


def _sizes(zone: ZoneText) -> None:
    pages = zone.pages
    where = f"node {zone.nid}, zone {zone.name}"
    for less, more in _ASCENDING:
        if pages[less] > pages[more]:
            raise _at(zone, f"{where}: {less} {pages[less]} is more than {more} {pages[more]}")
    if zone.tail.get("start_pfn", 0) + pages["spanned"] >= 1 << _PFN_BITS:
        raise _at(zone, f"{where} ends beyond any physical address")
    if pages.get("cma", 0) > pages["present"]:
        raise _at(zone, f"{where}: cma is more than present")
    listed = sum(pageset["count"] for pageset in zone.pagesets.values())
    if pages["free"] + listed > pages["managed"] + pages["managed"] // 8:
        raise _at(
            zone,
            f"{where}: {listed} pages on per-cpu lists beside {pages['free']} free of "
            f"{pages['managed']} managed",
        )


def _same_zones_everywhere(zones: list[ZoneText]) -> None:
    nodes: dict[int, list[str]] = {}
    for zone in zones:
        nodes.setdefault(zone.nid, []).append(zone.name)
    for zone in zones:
        if nodes[zone.nid] != nodes[zones[0].nid]:
            raise _at(zone, f"node {zone.nid} lists other zones than node {zones[0].nid}: the file is cut")
        if len(zone.protection) != len(nodes[zone.nid]):
            raise _at(
                zone,
                f"{len(zone.protection)} protections, but node {zone.nid} has "
                f"{len(nodes[zone.nid])} zones: the file is cut",
            )


def _same_keys(path: str, found: set[ZoneKey], zones: set[ZoneKey]) -> None:
    if differ := found ^ zones:
        nid, name = min(differ)
        raise CaptureError(path, 0, f"node {nid}, zone {name} is in one of this file and {_ZONEINFO}")


def _free(path: str, zone: ZoneText, free: int) -> None:
    managed, where = zone.pages["managed"], f"node {zone.nid}, zone {zone.name}"
    if free > managed:
        raise CaptureError(path, 0, f"{where}: {free} pages free of {managed} managed")
    if far_apart(free, zone.pages["free"], managed):
        raise CaptureError(path, 0, f"{where}: {free} pages free, {zone.pages['free']} in {_ZONEINFO}")


def _types(files: ZoneFiles, key: ZoneKey, zone: ZoneText) -> None:
    if files.types is None:
        return
    where = f"node {zone.nid}, zone {zone.name}"
    lists = files.types.free[key]
    free = sum(count << order for counts in lists.values() for order, count in enumerate(counts))
    if far_apart(free, zone.pages["free"], zone.pages["managed"]) and not _cut_lists(lists):
        raise CaptureError(
            _PAGETYPEINFO, 0, f"{where}: {free} pages free, {zone.pages['free']} in {_ZONEINFO}"
        )
    size = 1 << files.types.pageblock_order
    blocks = sum(files.types.blocks[key].values())
    if blocks > zone.pages["spanned"] // size + 2:
        raise CaptureError(
            _PAGETYPEINFO, 0, f"{where}: {blocks} blocks of {size} pages in a span of {zone.pages['spanned']}"
        )


def _cut_lists(lists: dict[MigrateType, list[int]]) -> bool:
    # A long list is not counted to its end.
    return any(count >= COUNTED for counts in lists.values() for count in counts)


def check_totals(capture: Capture, zones: list[ZoneText], meminfo: dict[str, int] | None) -> None:
    """Zones against meminfo and each node's meminfo. Raises CaptureError."""
    nodes = {nid: [z for z in zones if z.nid == nid] for nid in {z.nid for z in zones}}
    for nid, own in nodes.items():
        path = f"{NODES}/node{nid}/meminfo"
        if text := capture.text(path):
            _compare(capture, path, parse_meminfo(text, nid), own)
    if meminfo and zones:
        _compare(capture, "proc/meminfo", meminfo, zones)


def _compare(capture: Capture, path: str, fields: dict[str, int], zones: list[ZoneText]) -> None:
    present, managed, free = (sum(z.pages[key] for z in zones) for key in ("present", "managed", "free"))
    total, total_free = (fields[label] // _PAGE_KBYTES for label in ("MemTotal", "MemFree"))
    margin = managed // 64  # a balloon may move between two reads
    # Some guests count memory that they have not set up yet, which is in no zone's managed pages.
    pending = max(0, total - managed) if total <= present else 0
    if not managed - margin <= total <= managed + max(margin, pending):
        reason = f"MemTotal is {total} pages, the zones manage {managed}"
        raise CaptureError(path, _line(fields, "MemTotal"), reason)
    if far_apart(max(total_free - pending, min(free, total_free)), free, managed):
        reason = f"MemFree is {total_free} pages, the zones have {free} free"
        raise CaptureError(path, _line(fields, "MemFree"), reason)
    if pending > margin:
        capture.warn(path, f"counts {pending} pages that no zone manages; the zones are believed")


def _line(fields: dict[str, int], label: str) -> int:
    return list(fields).index(label) + 1


def check_use(zones: list[ZoneText], caches: list[CacheLine], vmstat: dict[str, int] | None) -> None:
    """Slabs and free pages against all memory. Raises CaptureError."""
    managed = sum(zone.pages["managed"] for zone in zones)
    pages = 0
    for cache in caches:
        pages += cache.num_slabs << cache.order
        if zones and pages > managed:
            raise CaptureError("proc/slabinfo", cache.line, f"{pages} pages of slabs of {managed} managed")
    free = (vmstat or {}).get("nr_free_pages")
    if zones and free is not None and far_apart(free, sum(z.pages["free"] for z in zones), managed):
        raise CaptureError("proc/vmstat", 1, f"nr_free_pages {free} is not what {_ZONEINFO} has")
