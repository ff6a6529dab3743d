"""What address translation costs: entries, tables, the reach of a TLB and how often it misses.

The TLB is the one a machine's [cpu] describes. No kernel shows any of this. A miss ratio is that of
an LRU cache, which a TLB comes close to, under independent accesses to all mapped pages: uniform
ones, or skewed by Zipf's law, where the page of rank r is accessed 1/r as often as the first. For
the latter Che's approximation is used; it counts ranks by groups whose ends are 2 % apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from vmfs.kernel import Feature
from vmfs.mm.mmzone import PAGE_SHIFT
from vmfs.spec.tlb import Tlb

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine
    from vmfs.mm.tasks import Task

PTE_BYTES, PTE_BYTES_I386 = 8, 4
CLASSIC_PTE_BYTES = 16  # of textbooks, and of hashed page tables
EXACT_RANKS = 1000
GROUP_RATIO = 1.02
STEPS = 80

Floats = npt.NDArray[np.float64]


class Misses(NamedTuple):
    """Of all accesses, those that miss the first level and those that miss both, and the cycles of one."""

    l1: float
    l2: float
    cycles: float


class Row(NamedTuple):
    """A task's pages of one size. `entries` are those of page tables, one a page."""

    page_kbytes: int
    pages: int
    entry_bytes: int
    uniform: Misses
    skewed: Misses


def rows(machine: Machine, task: Task) -> list[Row]:
    """The page sizes that the task has pages of in memory, the smallest first."""
    narrow = machine.kernel.has(Feature.HIGHMEM) and not machine.kernel.has(Feature.PAE)
    entry = PTE_BYTES_I386 if narrow else PTE_BYTES
    tlb = machine.hardware.tlb
    return [
        Row(size, pages, pages * entry, uniform(tlb, size, pages), skewed(tlb, size, pages))
        for size, pages in mapped_pages(machine, task)
    ]


def mapped_pages(machine: Machine, task: Task) -> Iterator[tuple[int, int]]:
    """(size in KiB, pages of that size): small ones, transparent huge ones, and those of hugetlbfs."""
    order = machine.kernel.hpage_pmd_order
    found = {4: task.rss - task.thp, 1 << (order + PAGE_SHIFT - 10): task.thp >> order}
    if task.hugetlb is not None:
        size = task.hugetlb.hstate.size_kbytes
        pages = sum(segment.pages.pages for segment in task.hugetlb.segments)
        found[size] = found.get(size, 0) + (pages >> task.hugetlb.hstate.order)
    return ((size, found[size]) for size in sorted(found) if found[size])


def whole(found: list[Row]) -> tuple[float, float]:
    """Cycles an access costs, uniform and skewed, when every byte in memory is as likely."""
    total = sum(row.pages * row.page_kbytes for row in found) or 1
    shares = [row.pages * row.page_kbytes / total for row in found]
    return (
        sum(share * row.uniform.cycles for share, row in zip(shares, found, strict=True)),
        sum(share * row.skewed.cycles for share, row in zip(shares, found, strict=True)),
    )


def uniform(tlb: Tlb, page_kbytes: int, pages: int) -> Misses:
    """Every page is as likely: what the TLB holds is a share of them."""

    def missed(entries: int) -> float:
        return max(0.0, 1 - entries / pages)

    return _misses(tlb, missed(tlb.l1.get(page_kbytes, 0)), missed(tlb.l2.get(page_kbytes, 0)))


def skewed(tlb: Tlb, page_kbytes: int, pages: int) -> Misses:
    """Zipf's law with exponent 1."""
    first, second = tlb.l1.get(page_kbytes, 0), tlb.l2.get(page_kbytes, 0)
    return _misses(tlb, zipf_miss_ratio(pages, first), zipf_miss_ratio(pages, second))


def _misses(tlb: Tlb, l1: float, l2: float) -> Misses:
    l2 = min(l1, l2)  # what the first level holds, no walk is needed for
    return Misses(l1, l2, (l1 - l2) * tlb.l2_hit_cycles + l2 * tlb.walk_cycles)


@lru_cache(maxsize=4096)
def zipf_miss_ratio(pages: int, entries: int) -> float:
    """Che's approximation: a page stays for the time in which `entries` different ones are accessed."""
    if entries >= pages:
        return 0.0
    if entries == 0:
        return 1.0
    count, chance = _zipf(pages)
    low, high = 0.0, np.log(pages) + 20 + np.log(1 / float(chance.min()))
    for _ in range(STEPS):
        time = (low + high) / 2
        held = float((count * -np.expm1(-chance * np.exp(time))).sum())
        low, high = (time, high) if held < entries else (low, time)
    return float((count * chance * np.exp(-chance * np.exp(low))).sum())


def _zipf(pages: int) -> tuple[Floats, Floats]:
    """How many pages are in each group of ranks, and how likely one of them is."""
    exact = np.arange(1, min(pages, EXACT_RANKS) + 1, dtype=np.float64)
    groups = int(np.log(max(pages / EXACT_RANKS, 1)) / np.log(GROUP_RATIO)) + 1
    ends = np.unique(np.geomspace(EXACT_RANKS, max(pages, EXACT_RANKS), groups + 1).astype(np.int64))
    count = np.concatenate([np.ones(len(exact)), np.diff(ends)])
    middles = (ends[:-1] + ends[1:] + 1) / 2
    chance = 1 / np.concatenate([exact, middles])
    return count, chance / float((count * chance).sum())


class Sum(NamedTuple):
    """So much memory in pages of one size: the entries it takes, and their bytes."""

    page_kbytes: int
    entries: int
    entry_bytes: int


def classic_sums(memory_bytes: int, page_kbytes: int, pte_bytes: int = CLASSIC_PTE_BYTES) -> Sum:
    """The sum of the textbook: 256 GiB in 4 KiB pages are 67,108,864 entries, 1 GiB at 16 bytes."""
    entries = -(-memory_bytes // (page_kbytes << 10))
    return Sum(page_kbytes, entries, entries * pte_bytes)


def reach_bytes(entries: int, page_kbytes: int) -> int:
    """The memory that so many translations cover."""
    return entries * page_kbytes << 10
