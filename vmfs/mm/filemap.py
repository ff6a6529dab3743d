"""The page cache: reading, writing, dropping (mm/filemap.c, fs/drop_caches.c).

Files are counted, not kept: what they leave behind is pages on the file lists, and objects in the
caches of the filesystem, which is ext4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from vmfs.kernel import Feature
from vmfs.mm import (
    alloc_request,
    lru,
    psi,
    swapfile,
    wmark,
    workingset,
    writeback,
)
from vmfs.mm.charge import charge
from vmfs.mm.laps import repeat
from vmfs.mm.lru import Batch, Lru, Use
from vmfs.mm.mmzone import KBYTES_PER_PAGE, PAGE_SIZE, Zone
from vmfs.mm.page_writeback import mark_dirty
from vmfs.mm.vmstat import Item

if TYPE_CHECKING:
    from vmfs.mm.file_set import FileSet
    from vmfs.mm.machine import Machine

EXTENT_CACHES = ("ext4_extent_status", "extent_status")  # of which a kernel has one
FILES_PER_DIRECTORY = 250
FILES_PER_PAGE = 4  # whose dentries, inodes and the like take a page, at most
INODE_BYTES = 256  # on disk: so many inodes share a block of the inode table
READAHEAD_RAMP = 31 * 128  # windows of 128, 256 … 2048 pages in folios of order 0, 2 … 8
SHORTEST_LAP = 1024  # pages


def read(machine: Machine, pages: int, files: int, nid: int, known: FileSet | None = None) -> None:
    """`files` files of `pages` pages in all are opened and read for the first time."""

    def live(pages: int, files: int) -> None:
        for some, share in _turns(machine, pages, files):
            names = some + directories(some)
            look_up(machine, some, names, names, min(some, share), nid)
            read_file_pages(machine, share, some, nid, known)

    _files_in_laps(machine, pages, files, live)


def _files_in_laps(machine: Machine, pages: int, files: int, live: Callable[[int, int], None]) -> None:
    """More files than memory has room for the inodes of: lived through once for all laps, as reads are."""
    length = max(2 * FILES_PER_PAGE * _room(machine), SHORTEST_LAP)
    laps, rest = divmod(files, length)
    share = pages * length // files if laps else 0
    lap = partial(live, share, length)
    if laps:
        lap()
    repeat(machine, lap, laps - 1)
    live(pages - laps * share, rest)


def _turns(machine: Machine, pages: int, files: int) -> Iterator[tuple[int, int]]:
    """So many files, and their pages, that what came first can be reclaimed for what comes last."""
    while files or pages:
        some = next(alloc_request.portions(machine, files), 0)
        share = pages * some // files if some < files else pages
        yield some, share
        files, pages = files - some, pages - share


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read, and what becomes of its pages.

    `nodes`: files of more than one page, which the tree's head cannot hold (xa_alloc()). `huge` of the
    pages are in huge folios. `active` and `workingset` are what workingset_refault() makes of them.
    """

    known: FileSet | None = None
    nodes: bool = False
    huge: int = 0
    active: bool = False
    workingset: bool = False


def read_file_pages(
    machine: Machine,
    pages: int,
    files: int,
    nid: int,
    known: FileSet | None = None,
    refaults: Iterable[workingset.Refault] = (),
) -> None:
    """Pages of files come from disk, the first ones after they had been reclaimed."""
    reading = Reading(known, nodes=pages > files)
    for fate in refaults:
        again = replace(reading, active=fate.active, workingset=fate.workingset)
        _read_in_laps(machine, fate.pages, files, nid, again)
        pages -= fate.pages
    _read_in_laps(machine, pages, files, nid, reading)


def _read_in_laps(machine: Machine, pages: int, files: int, nid: int, reading: Reading) -> None:
    reading = replace(reading, huge=_in_huge_folios(machine, pages, max(files, 1)))
    _pages_in_laps(machine, pages, lambda some: _read_pages(machine, Use.FILE, some, nid, reading))


def _in_huge_folios(machine: Machine, pages: int, files: int) -> int:
    """page_cache_ra_order(): each window of a file that is read in order has larger folios than the last.

    They are counted; the pages are allocated singly.
    """
    if not machine.kernel.has(Feature.FILE_LARGE_FOLIOS):
        return 0
    small = -(-READAHEAD_RAMP >> lru.HUGE_ORDER << lru.HUGE_ORDER)
    return (max(pages // files - small, 0) >> lru.HUGE_ORDER << lru.HUGE_ORDER) * files


def _room(machine: Machine) -> int:
    """How many pages the page cache could have at most."""
    anon = sum(machine.global_page_state(item) for item in (Item.NR_INACTIVE_ANON, Item.NR_ACTIVE_ANON))
    highest = machine.zone_index("Movable")
    free = sum(max(wmark.spare_pages(zone, highest), 0) for _, zone in machine.zones())
    return free + file_lru_pages(machine) + min(anon, swapfile.nr_swap_pages(machine))


def _inode_table_pages(files: int) -> int:
    return -(-files * INODE_BYTES // PAGE_SIZE) + directories(files)


def directories(files: int) -> int:
    return -(-files // FILES_PER_DIRECTORY)


def look_up(machine: Machine, files: int, dentries: int, inodes: int, cached: int, nid: int) -> None:
    """Opening files by name: for each a dentry, an inode and what hangs on it, in all less than a page.

    `files` of the inodes are those of files, the rest of directories; `cached` get page cache.
    """
    machine.cache_alloc("dentry", dentries, nid)
    for name in ("ext4_inode_cache", "lsm_inode_cache"):
        machine.cache_alloc(name, inodes, nid)
    for name in EXTENT_CACHES:
        machine.cache_alloc(name, files, nid)
    machine.vfs.opened(dentries, inodes, cached)
    if files:
        machine.cache_alloc("buffer_head", _inode_table_pages(files), nid)
        shared = not machine.lru_gen.enabled  # a block is touched for each file in it: active from the second
        _read_pages(machine, Use.BUFFERS, _inode_table_pages(files), nid, Reading(active=shared))
        machine.count_event(Item.PGACTIVATE, _inode_table_pages(files) if shared else 0)


def _read_pages(machine: Machine, use: Use, pages: int, nid: int, reading: Reading) -> None:
    huge = reading.huge
    for portion in alloc_request.portions(machine, pages):
        if reading.nodes:
            workingset.add(machine, portion, nid)
        for zone, batch in _add_to_page_cache(machine, use, portion, nid):
            batch.files, batch.workingset = reading.known, reading.workingset
            huge -= _make_huge(machine, zone, batch, huge)
            which = Lru.ACTIVE_FILE if reading.active else Lru.INACTIVE_FILE
            lru.add(machine.node(zone.nid), zone, which, batch)
    count_reads(machine, pages, thrashing=reading.workingset)


def count_reads(machine: Machine, pages: int, *, thrashing: bool) -> None:
    """Pages come from disk for someone who waits; for what had been in use it is memory that he waits for."""
    machine.count_event(Item.PGPGIN, pages * KBYTES_PER_PAGE)
    psi.stall(machine, pages * psi.DISK_NANOSECS, *((psi.MEMORY, psi.IO) if thrashing else (psi.IO,)))


def _make_huge(machine: Machine, zone: Zone, batch: Batch, most: int) -> int:
    """As much of a batch as can be; returns the pages."""
    batch.huge = min(batch.pages, most) >> lru.HUGE_ORDER << lru.HUGE_ORDER
    machine.node(zone.nid).mod_state(Item.NR_FILE_HUGEPAGES, batch.huge)
    return batch.huge


def _add_to_page_cache(machine: Machine, use: Use, pages: int, nid: int) -> Iterator[tuple[Zone, Batch]]:
    """Batches to be put on a list at once: the next may have to be reclaimed for."""
    request = alloc_request.gfp_highuser_movable(machine, nid, pages)
    for parts in machine.alloc_in_turns(request):
        for zone, extents in parts:
            batch = Batch(use, extents)
            charge(machine, machine.node(zone.nid), batch, batch.pages)
            yield zone, batch


def write(machine: Machine, pages: int, files: int, nid: int) -> None:
    """File data is written: dirty pages, then writeback down to the background threshold."""

    def live(pages: int, files: int) -> None:
        for some, share in _turns(machine, pages, files):
            names = some + directories(some)
            look_up(machine, some, names, names, min(some, share), nid)
            write_pages = partial(_write_in_portions, machine, nid=nid, nodes=share > some)
            _pages_in_laps(machine, share, write_pages)

    _files_in_laps(machine, pages, files, live)


def _pages_in_laps(machine: Machine, pages: int, live: Callable[[int], None]) -> None:
    """A row of reads or writes that drops what it brought itself is lived through once for all its laps."""
    length = max(2 * _room(machine), SHORTEST_LAP)
    laps, rest = divmod(pages, length)
    if laps:
        live(length)
    repeat(machine, partial(live, length), laps - 1)
    live(rest)


def _write_in_portions(machine: Machine, pages: int, *, nid: int, nodes: bool) -> None:
    for portion in alloc_request.portions(machine, pages):
        _write_pages(machine, portion, nid, nodes=nodes)


def _write_pages(machine: Machine, pages: int, nid: int, *, nodes: bool) -> None:
    if nodes:
        workingset.add(machine, pages, nid)
    for zone, batch in _add_to_page_cache(machine, Use.FILE, pages, nid):
        mark_dirty(machine, machine.node(zone.nid), zone, batch)
        lru.add(machine.node(zone.nid), zone, Lru.INACTIVE_FILE, batch)
    writeback.dirtied(machine)
    writeback.balance_dirty_pages(machine)


def file_lru_pages(machine: Machine) -> int:
    items = (Item.NR_INACTIVE_FILE, Item.NR_ACTIVE_FILE)
    return sum(node.page_state(item) for node in machine.nodes for item in items)
