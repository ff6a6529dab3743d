"""DirectMap4k, 2M and 1G: the kernel's map of all memory by page size (arch/x86/mm/init.c).

The kernel counts a page again each time another stretch of its memory is mapped, from the top
down in growing steps; so the sum exceeds the memory, here as there. What is split later, for
read-only text and the like, depends on the run: about as many pages as the machines seen.
"""

from __future__ import annotations

from collections.abc import Iterator

from vmfs.boot.ranges import Range, Ranges, clip
from vmfs.kernel import Feature
from vmfs.mm.mmzone import PAGE_SHIFT
from vmfs.spec import Spec

ISA_END = 0x100
PMD = {True: 1024, False: 512}  # frames of a page-middle entry, without PAE and with
PUD = 512 * 512
STEP_GROWTH = 8
SPLITS, SPLITS_PER_NODE = 12, 3
KBYTES_SHIFT = PAGE_SHIFT - 10


def direct_map(spec: Spec, memory: Ranges, end: int) -> dict[str, int]:
    """Kilobytes by label; `memory` usable frames, `end` of what is mapped for good."""
    legacy = spec.kernel.has(Feature.HIGHMEM)
    large, huge = PMD[legacy], PUD if spec.cpu.gigabyte_pages and not legacy else 0
    memory = clip(memory, 0, end)
    counts = [0, 0, 0]  # pages of 4 KiB, of PMD and of PUD size
    for stretch in _stretches(memory, end, large, legacy=legacy):
        for frames, level in _split(stretch, memory, large, huge):
            counts[level] += frames
    _split_later(counts, spec, large)
    sizes = zip(("4k", "4M" if legacy else "2M", "1G"), (1, large, PUD), counts, strict=True)
    shown = [(label, count * size << KBYTES_SHIFT) for label, size, count in sizes]
    return dict(shown if huge else shown[:2])


def _stretches(memory: Ranges, end: int, large: int, *, legacy: bool) -> Iterator[Range]:
    """memory_map_top_down(), or from 0 in one go on 32-bit; the first mebibyte is always apart."""
    yield 0, ISA_END
    if legacy:
        yield ISA_END, end
        return
    top = min(end, memory[-1][1])
    last = real_end = top // large * large
    step, mapped = large, 0
    while last > ISA_END:
        start = max(ISA_END, (last - 1) // step * step) if last > step else ISA_END
        for part in clip(memory, start, last):
            mapped += part[1] - part[0]
            yield part
        last = start
        if mapped >= step:
            step <<= STEP_GROWTH
    yield from clip(memory, real_end, top)


def _split(stretch: Range, memory: Ranges, large: int, huge: int) -> Iterator[tuple[int, int]]:
    """split_mem_range(): page counts by level; an odd end takes a large page where all of it is memory."""
    start, end = stretch
    sizes = (1, large, huge)
    for edge, least in _edges(start, end, large, huge):
        if start < edge:
            grown = (
                n for n in (2, 1) if n > least and sizes[n] and _all_memory(start, edge, sizes[n], memory)
            )
            level = next(grown, least)
            yield -(-edge // sizes[level]) - start // sizes[level], level
            start = edge


def _edges(start: int, end: int, large: int, huge: int) -> Iterator[tuple[int, int]]:
    """Where each piece ends, and its level."""
    first, last = -(-start // large) * large, end // large * large
    if first >= last:
        yield end, 0
        return
    yield first, 0
    if huge:
        low, high = -(-first // huge) * huge, last // huge * huge
        yield min(low, last), 1
        yield min(max(low, high), last), 2
    yield last, 1
    yield end, 0


def _all_memory(start: int, end: int, size: int, memory: Ranges) -> bool:
    low, high = start // size * size, -(-end // size) * size
    return any(a <= low and high <= b for a, b in memory)


def _split_later(counts: list[int], spec: Spec, large: int) -> None:
    nodes = len(spec.nodes)
    huge = min(counts[2] // 2, 2 * nodes)
    small = 1 if large == PMD[True] else SPLITS + SPLITS_PER_NODE * nodes
    small = min(small, counts[1])
    counts[2] -= huge
    counts[1] += huge * (PUD // large) - small
    counts[0] += small * large
