"""ZoneState from zoneinfo, buddyinfo and pagetypeinfo.

Files of one capture were read one after another, so their counts differ a little. One file is
believed for each number: buddyinfo for the free blocks of each order, pagetypeinfo for how they are
split over migrate types and for the page blocks, zoneinfo for everything else.
"""

from __future__ import annotations

from dataclasses import dataclass

from vmfs.capture.parse_buddyinfo import ZoneKey
from vmfs.capture.parse_pagetypeinfo import PageTypes
from vmfs.capture.parse_zoneinfo import ZoneText
from vmfs.kernel import Feature, Kernel
from vmfs.mm.mmzone import MAX_PAGE_ORDER, NR_PAGE_ORDERS, MigrateType, zone_names
from vmfs.mm.snapshot import ZoneState, no_blocks
from vmfs.mm.vmstat import Scope, items

FreeLists = dict[MigrateType, list[int]]


@dataclass(frozen=True, slots=True)
class ZoneFiles:
    """What the three files say; None for one that is missing. `huge_pages_freed`, so far, by vmstat."""

    zones: list[ZoneText]
    buddy: dict[ZoneKey, list[int]] | None
    types: PageTypes | None
    huge_pages_freed: int = 0


def zone_states(kernel: Kernel, files: ZoneFiles, nid: int) -> list[ZoneState]:
    """Every zone of the kernel, those that the node lacks empty."""
    found = {zone.name: zone for zone in files.zones if zone.nid == nid}
    return [
        _state(kernel, files, found[name]) if name in found else ZoneState(name)
        for name in zone_names(kernel)
    ]


def _state(kernel: Kernel, files: ZoneFiles, zone: ZoneText) -> ZoneState:
    pages, cpus = zone.pages, zone.pagesets
    tuned = kernel.has(Feature.PCP_HIGH_AUTO)
    counted = {scope: {i.text for i in items(kernel, scope)} for scope in (Scope.ZONE, Scope.NUMA)}
    return ZoneState(
        name=zone.name,
        start_pfn=zone.tail.get("start_pfn", 0),
        spanned=pages["spanned"],
        present=pages["present"],
        managed=pages["managed"],
        cma=pages.get("cma", 0),
        boost=pages.get("boost", 0),
        free=_free_lists(files, zone),
        pageblocks=_pageblocks(kernel, files, zone),
        pcp_count={cpu: pageset["count"] for cpu, pageset in cpus.items() if pageset["count"]},
        pcp_huge=_huge_on_lists(kernel, files, zone),
        pcp_high={cpu: pageset["high"] for cpu, pageset in cpus.items()} if tuned else {},
        watermark=(pages["min"], pages["low"], pages["high"]),
        lowmem_reserve=tuple(zone.protection),
        pageset=_pageset(kernel, zone),
        stat_threshold=next(iter(zone.thresholds.values()), None),
        stat={name: n for name, n in zone.stat.items() if name in counted[Scope.ZONE]},
        numa={name: n for name, n in zone.stat.items() if name in counted[Scope.NUMA]},
    )


def _huge_on_lists(kernel: Kernel, files: ZoneFiles, zone: ZoneText) -> dict[int, int]:
    """Huge pages that were given back are on the lists first; a count does not tell them from small ones.

    So as many are taken to be there as fit into it, as recorded machines have them.
    """
    if not kernel.has(Feature.PCP_HUGE_PAGES):
        return {}
    fit = {cpu: pageset["count"] >> kernel.hpage_pmd_order for cpu, pageset in zone.pagesets.items()}
    return {cpu: min(count, files.huge_pages_freed) for cpu, count in fit.items() if count}


def _pageset(kernel: Kernel, zone: ZoneText) -> tuple[int, int, int] | None:
    first = next(iter(zone.pagesets.values()), None)
    if first is None or (kernel.has(Feature.PCP_HIGH_AUTO) and "high_min" not in first):
        return None  # what is printed is the tuned value, not its bounds
    return first["batch"], first.get("high_min", first["high"]), first.get("high_max", first["high"])


def _free_lists(files: ZoneFiles, zone: ZoneText) -> FreeLists:
    key = (zone.nid, zone.name)
    split = (files.types.free if files.types else {}).get(key)
    blocks = (files.buddy or {}).get(key)
    if blocks is None and split is None:
        blocks = largest_blocks(zone.tail.get("start_pfn", 0), zone.pages["present"], zone.pages["free"])
    lists = no_blocks()
    lists |= {migratetype: list(counts) for migratetype, counts in (split or {}).items()}
    return lists if blocks is None else _reconciled(lists, blocks)


def _reconciled(lists: FreeLists, blocks: list[int]) -> FreeLists:
    # The types' blocks of an order sum to buddyinfo's: the longest list takes up the difference first.
    for order, count in enumerate(blocks):
        surplus = sum(counts[order] for counts in lists.values()) - count
        longest = sorted(lists, key=lambda t: (-lists[t][order], t is not MigrateType.MOVABLE))
        if surplus < 0:
            lists[longest[0]][order] -= surplus
        for migratetype in longest:
            gone = min(max(surplus, 0), lists[migratetype][order])
            lists[migratetype][order] -= gone
            surplus -= gone
    return lists


def largest_blocks(start_pfn: int, present: int, free: int) -> list[int]:
    """So many free pages in few, large blocks; the ends of the span, unaligned, hold smaller ones."""
    most = 1 << MAX_PAGE_ORDER
    room = (start_pfn + present) // most - -(-start_pfn // most) - 1
    blocks = [0] * NR_PAGE_ORDERS
    blocks[MAX_PAGE_ORDER] = max(0, min(free // most, room))
    free -= blocks[MAX_PAGE_ORDER] * most
    for order in range(MAX_PAGE_ORDER - 1, -1, -1):
        room = (present - sum(n << o for o, n in enumerate(blocks))) >> (order + 1)
        blocks[order] = min(free >> order, room)
        free -= blocks[order] << order
    return blocks


def _pageblocks(kernel: Kernel, files: ZoneFiles, zone: ZoneText) -> dict[MigrateType, int]:
    size = 1 << kernel.pageblock_order
    if files.types and (blocks := files.types.blocks.get((zone.nid, zone.name))):
        # A kernel without huge pages has larger blocks, one with PAE smaller ones.
        return {t: -(-(count << files.types.pageblock_order) // size) for t, count in blocks.items()}
    # Without pagetypeinfo: all movable, as at boot.
    return {MigrateType.MOVABLE: -(-zone.pages["spanned"] // size)}
