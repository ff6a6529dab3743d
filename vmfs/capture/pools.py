"""Huge page pools, from /sys/kernel/mm/hugepages and its like in each node."""

from __future__ import annotations

import re

from vmfs.capture.context import Capture
from vmfs.capture.text import CaptureError, Text
from vmfs.capture.topology import NODES
from vmfs.mm.snapshot import HugePageState

_POOLS = "sys/kernel/mm/hugepages"
_SIZE = re.compile(rf"{_POOLS}/hugepages-(\d{{1,8}})kB/")
_NODE_FILES = ("nr_hugepages", "free_hugepages", "surplus_hugepages")
_SIZES_KBYTES = range(8, (16 << 20) + 1)


def read_pools(
    capture: Capture, nids: list[int], meminfo: dict[str, int], default_kbytes: int
) -> list[HugePageState]:
    """In the kernel's order, the largest first. Raises CaptureError."""
    sizes = {int(found[1]) for path in capture.source.paths(_POOLS) if (found := _SIZE.match(path))}
    sizes = {size for size in sizes if size in _SIZES_KBYTES and size & (size - 1) == 0}
    if not sizes:
        capture.warn(_POOLS, "missing; the pool that proc/meminfo shows stands for it")
        return [_from_meminfo(nids, meminfo, default_kbytes)]
    if default_kbytes not in sizes:
        raise CaptureError(
            "proc/meminfo", 0, f"Hugepagesize is {default_kbytes} kB; {_POOLS} has no such pool"
        )
    pools = [_pool(capture, size, nids) for size in sorted(sizes, reverse=True)]
    for pool in pools:
        if pool.size_kbytes == default_kbytes:
            _stored_size(capture, pool)
    return pools


def _pool(capture: Capture, size: int, nids: list[int]) -> HugePageState:
    folder = f"{_POOLS}/hugepages-{size}kB"
    nr, free, surplus = (_by_node(capture, folder, size, name, nids) for name in _NODE_FILES)
    pool = HugePageState(
        size,
        nr,
        free,
        surplus,
        resv=_value(capture, f"{folder}/resv_hugepages"),
        overcommit=_value(capture, f"{folder}/nr_overcommit_hugepages"),
    )
    for nid in nids:
        if max(pool.free[nid], pool.surplus[nid]) > pool.nr[nid]:
            file = f"{NODES}/node{nid}/hugepages/hugepages-{size}kB/nr_hugepages"
            path = file if capture.text(file) else f"{folder}/nr_hugepages"
            raise CaptureError(path, 1, f"{pool.nr[nid]} pages, of which more are free or surplus")
    pool.max_huge_pages = sum(pool.nr.values()) - sum(pool.surplus.values())
    return pool


def _by_node(capture: Capture, folder: str, size: int, name: str, nids: list[int]) -> dict[int, int]:
    # Without the nodes' files the first node has them all.
    found = {
        nid: capture.parse(f"{NODES}/node{nid}/hugepages/hugepages-{size}kB/{name}", Text.value)
        for nid in nids
    }
    known = {nid: count for nid, count in found.items() if count is not None}
    total = _value(capture, f"{folder}/{name}")
    if len(known) < len(nids):
        return {nid: total if nid == nids[0] else 0 for nid in nids}
    text = capture.text(f"{folder}/{name}")
    if text and abs(total - sum(known.values())) > max(total // 8, 64):
        raise text.error(1, f"{total} pages, but the nodes have {sum(known.values())}")
    return known


def _value(capture: Capture, path: str) -> int:
    return capture.parse(path, Text.value) or 0


def _stored_size(capture: Capture, pool: HugePageState) -> None:
    # vm.nr_hugepages shows the size that was asked for, which the pool may not have reached.
    if (asked := capture.parse("proc/sys/vm/nr_hugepages", Text.value)) is not None:
        pool.max_huge_pages = asked


def _from_meminfo(nids: list[int], meminfo: dict[str, int], size: int) -> HugePageState:
    nr, free, surplus = (
        {nid: meminfo.get(f"HugePages_{label}", 0) if nid == nids[0] else 0 for nid in nids}
        for label in ("Total", "Free", "Surp")
    )
    pool = HugePageState(size, nr, free, surplus, resv=meminfo.get("HugePages_Rsvd", 0))
    pool.max_huge_pages = pool.nr[nids[0]] - pool.surplus[nids[0]]
    return pool
