"""Which frames each zone of each node spans (mm/mm_init.c: free_area_init())."""

from __future__ import annotations

from dataclasses import dataclass

from vmfs.boot.firmware import PFN_4G, MemoryMap
from vmfs.boot.ranges import Ranges, clip, pages
from vmfs.kernel import Feature, Kernel
from vmfs.mm.mmzone import MAX_PAGE_ORDER, PAGE_SHIFT, zone_names
from vmfs.mm.vmalloc import PAGE_OFFSET_32, VMALLOC_END_32
from vmfs.spec import Spec

PFN_16M = 1 << (24 - PAGE_SHIFT)
MAX_BLOCK = 1 << MAX_PAGE_ORDER
VMALLOC_RESERVE_32 = 128 << 20


@dataclass(frozen=True, slots=True)
class ZoneSpan:
    """A zone's frames; an empty zone starts at 0 and ends there."""

    nid: int
    name: str
    start: int
    end: int
    memory: Ranges

    @property
    def present(self) -> int:
        return pages(self.memory)


def max_low_pfn() -> int:
    """32-bit: the end of the memory that the kernel maps for good (MAXMEM)."""
    return (VMALLOC_END_32 - PAGE_OFFSET_32 - VMALLOC_RESERVE_32) >> PAGE_SHIFT


def zone_spans(spec: Spec, firmware: MemoryMap) -> list[list[ZoneSpan]]:
    """All zones of all nodes, in index order."""
    limits = _limits(spec.kernel)
    movable = _movable_starts(spec, firmware, limits)
    return [
        [_span(nid, name, memory, limits, movable[nid]) for name in zone_names(spec.kernel)]
        for nid, memory in enumerate(firmware.node_memory)
    ]


def _limits(kernel: Kernel) -> dict[str, tuple[int, int]]:
    """arch_zone_lowest_possible_pfn and _highest_."""
    if kernel.has(Feature.HIGHMEM):
        low = max_low_pfn()
        return {"DMA": (0, PFN_16M), "Normal": (PFN_16M, low), "HighMem": (low, PFN_4G)}
    return {"DMA": (0, PFN_16M), "DMA32": (PFN_16M, PFN_4G), "Normal": (PFN_4G, 1 << 52)}


def _span(nid: int, name: str, memory: Ranges, limits: dict[str, tuple[int, int]], movable: int) -> ZoneSpan:
    low, high = limits.get(name, (0, 0))
    if movable:
        low, high = (movable, 1 << 52) if name == "Movable" else (low, min(high, movable))
    if not memory or low >= high:
        return ZoneSpan(nid, name, 0, 0, ())
    start, end = max(low, memory[0][0]), min(high, memory[-1][1])
    inside = clip(memory, start, end)
    return ZoneSpan(nid, name, start, end, inside) if inside else ZoneSpan(nid, name, 0, 0, ())


def _movable_starts(spec: Spec, firmware: MemoryMap, limits: dict[str, tuple[int, int]]) -> list[int]:
    """find_zone_movable_pfns_for_nodes(): where each node's Movable begins, 0 for none."""
    if any(node.movable for node in spec.nodes):
        pairs = zip(spec.nodes, firmware.node_memory, strict=True)
        return [memory[0][0] if node.movable and memory else 0 for node, memory in pairs]
    total = pages(firmware.memory)
    required = spec.kernelcore_bytes >> PAGE_SHIFT
    if spec.movablecore_bytes:
        wanted = min(-(-(spec.movablecore_bytes >> PAGE_SHIFT) // MAX_BLOCK) * MAX_BLOCK, total)
        required = max(required, total - wanted)
    if not required or required >= total:
        return [0] * len(spec.nodes)
    # The highest populated zone is the one that Movable is carved out of.
    usable = max(low for low, _ in limits.values() if low < firmware.top)
    starts = _spread_kernelcore(firmware.node_memory, required, usable)
    return [_aligned(start, memory) for start, memory in zip(starts, firmware.node_memory, strict=True)]


def _aligned(start: int, memory: Ranges) -> int:
    start = -(-start // MAX_BLOCK) * MAX_BLOCK
    return start if memory and start < memory[-1][1] else 0


def _spread_kernelcore(nodes: tuple[Ranges, ...], required: int, usable: int) -> list[int]:
    """Kernel memory is dealt to the nodes evenly, again and again while some node has less than its share."""
    starts = [0] * len(nodes)
    sharers = sum(1 for memory in nodes if memory)
    while sharers and required > 0:
        share = required // sharers
        for nid, memory in enumerate(nodes):
            share = min(share, required // sharers) if required < share else share
            left = share
            for first, end in memory:
                start = max(first, starts[nid])
                if start >= end:
                    continue
                low = max(0, min(end, usable) - start)
                left, required = left - min(low, left), required - min(low, required)
                start = max(start, usable)
                taken = min(max(0, end - start), left)
                starts[nid] = min(end, start + taken) if end > usable else end
                left, required = left - taken, required - min(required, taken)
                if end > usable and not left:
                    break
        sharers -= 1
        if required <= sharers:
            break
    return starts
