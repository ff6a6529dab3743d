"""The hash tables sized by memory (mm/mm_init.c: alloc_large_system_hash()).

With several nodes they all come from vmalloc(), spread over the nodes; with one, the two largest
come from memblock and the rest from the page allocator.
"""

from __future__ import annotations

from dataclasses import dataclass

from vmfs.kernel import Feature, Kernel
from vmfs.mm.mmzone import PAGE_SHIFT, PAGE_SIZE

ADAPT_PAGES = 64 << (30 - PAGE_SHIFT)  # beyond 64 GiB tables grow more slowly
ADAPT_SHIFT = 2
MEBIBYTE = 1 << (20 - PAGE_SHIFT)
MAX_ENTRIES = 1 << 31


@dataclass(frozen=True, slots=True)
class HashTable:
    """`scale`: one bucket for 2^scale bytes of memory; 0 stands for one of `low` buckets."""

    name: str
    bucket_bytes: int
    scale: int
    low: int = 0
    high: int = 0
    pointers: bool = False  # a bucket is one pointer
    early: bool = False
    per_cpu: int = 0
    needs: Feature = Feature.BASE


TABLES = (
    HashTable("Dentry cache", 8, 13, pointers=True, early=True),
    HashTable("Inode-cache", 8, 14, pointers=True, early=True),
    HashTable("Mount-cache", 8, 19, pointers=True),
    HashTable("Mountpoint-cache", 8, 19, pointers=True),
    HashTable("futex", 64, 0, per_cpu=256),
    HashTable("IP idents", 8, 16, 2048, 256 << 10),
    HashTable("tcp_listen_portaddr_hash", 16, 21, high=64 << 10),
    HashTable("Table-perturb", 4, 0, 64 << 10),
    HashTable("TCP established", 8, 17, high=512 << 10, pointers=True),
    HashTable("TCP bind", 32, 17, high=64 << 10),
    HashTable("MPTCP token", 24, 20, high=64 << 10),
    HashTable("UDP", 32, 21, 256, 64 << 10),
    HashTable("UDP-Lite", 32, 21, 256, 64 << 10),
)


def table_pages(kernel: Kernel, low_pages: int, cpus: int, *, early: bool) -> int:
    """Pages of the tables that are made early, or of the others; `low_pages` is nr_kernel_pages."""
    return sum(_pages(kernel, t, low_pages, cpus) for t in TABLES if t.early is early)


def entries(table: HashTable, low_pages: int, cpus: int) -> int:
    """Buckets, a power of two."""
    if table.per_cpu:
        return _roundup_pow_of_two(table.per_cpu * cpus)
    if not table.scale:
        return table.low
    count = -(-low_pages // MEBIBYTE) * MEBIBYTE
    scale, adapt = table.scale, ADAPT_PAGES
    while not table.high and adapt < count:
        scale, adapt = scale + 1, adapt << ADAPT_SHIFT
    count = count >> (scale - PAGE_SHIFT)
    return min(_roundup_pow_of_two(max(count, table.low, 1)), table.high or MAX_ENTRIES)


def _pages(kernel: Kernel, table: HashTable, low_pages: int, cpus: int) -> int:
    narrow = table.pointers and kernel.has(Feature.HIGHMEM)
    size = entries(table, low_pages, cpus) * (table.bucket_bytes // 2 if narrow else table.bucket_bytes)
    return -(-size // PAGE_SIZE)


def _roundup_pow_of_two(value: int) -> int:
    return 1 << (value - 1).bit_length()
