"""Files and mappings of huge pages: reservation, faults, truncation (mm/hugetlb.c, fs/hugetlbfs/inode.c)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from vmfs.mm.extents import Extents
from vmfs.mm.hugetlb import Hstate, alloc_surplus, free_huge_pages, remove_pool_pages
from vmfs.mm.vmstat import Item

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine


class NoHugePages(MemoryError):
    """ENOMEM of mmap(), ENOSPC of fallocate(), SIGBUS of a fault."""


class Segment(NamedTuple):
    """Huge pages of one node at consecutive offsets of a file, from huge page `first` on."""

    first: int
    nid: int
    pages: Extents


@dataclass(slots=True, eq=False)
class HugetlbFile:
    """An inode of hugetlbfs; an anonymous huge mapping is one that ends with its process.

    Offsets and counts are huge pages. `reserved` is the reserve map: offsets whose page is
    reserved or already there. `nids`, where asked for, is the caller's fallback order within its
    memory policy: its own node first.
    """

    hstate: Hstate
    segments: list[Segment] = field(default_factory=list)
    reserved: Extents = field(default_factory=Extents.empty)

    @classmethod
    def create(cls, hstate: Hstate) -> HugetlbFile:
        file = cls(hstate)
        hstate.files.append(file)
        return file

    @property
    def present(self) -> Extents:
        """Offsets that have a page."""
        order = self.hstate.order
        parts = (Extents.run(s.first, s.pages.pages >> order) for s in self.segments)
        return Extents.concat(parts).coalesced()

    def reserve(self, machine: Machine, first: int, count: int, nids: Sequence[int]) -> None:
        """mmap() without MAP_NORESERVE: all, or NoHugePages and no change (hugetlb_reserve_pages())."""
        fresh = Extents.run(first, count).minus(self.reserved)
        hugetlb_acct_memory(machine, self.hstate, fresh.pages, nids)
        self.reserved = Extents.concat([self.reserved, fresh]).coalesced()

    def fault(self, machine: Machine, first: int, count: int, nids: Sequence[int]) -> None:
        """Touch a range in order; pages got before NoHugePages stay."""
        missing = Extents.run(first, count).minus(self.present)
        for start, length in _runs(missing):
            self._fault_run(machine, start, length, nids)

    def _fault_run(self, machine: Machine, first: int, count: int, nids: Sequence[int]) -> None:
        run = Extents.run(first, count)
        owed = run.within(self.reserved).coalesced()
        pieces = [(*piece, True) for piece in _runs(owed)] + [
            (*piece, False) for piece in _runs(run.minus(owed))
        ]
        for start, length, reserved in sorted(pieces):
            done = 0
            for nid, pages in _alloc_huge_pages(machine, self.hstate, length, nids, owed=reserved):
                self._add(machine, Segment(start + done, nid, pages))
                done += pages.pages >> self.hstate.order
            if done < length:
                raise NoHugePages

    def _add(self, machine: Machine, segment: Segment) -> None:
        self.segments.append(segment)
        run = Extents.run(segment.first, segment.pages.pages >> self.hstate.order)
        self.reserved = Extents.concat([self.reserved, run.minus(self.reserved)]).coalesced()
        machine.node(segment.nid).mod_state(Item.NR_HUGETLB, segment.pages.pages)

    def truncate(self, machine: Machine, first: int = 0, count: int = 1 << 50) -> None:
        """Give up the pages and reservations of a range: truncation, a punched hole, or the file's end."""
        run = Extents.run(first, count)
        freed = run.within(self.present).pages
        gone = run.within(self.reserved).pages
        segments, self.segments = self.segments, []
        for segment in segments:
            self._cut(machine, segment, first, first + count)
        self.reserved = self.reserved.minus(run)
        hugetlb_unreserve(machine, self.hstate, gone - freed)

    def _cut(self, machine: Machine, segment: Segment, first: int, end: int) -> None:
        order = self.hstate.order
        before = max(0, first - segment.first)
        inside = max(0, end - segment.first) - before
        head, rest = segment.pages.take(before << order)
        cut, tail = rest.take(inside << order)
        after = segment.first + (head.pages + cut.pages >> order)
        kept = [Segment(segment.first, segment.nid, head), Segment(after, segment.nid, tail)]
        self.segments += [part for part in kept if part.pages.pages]
        if cut.pages:
            machine.node(segment.nid).mod_state(Item.NR_HUGETLB, -cut.pages)
            free_huge_pages(machine, self.hstate, segment.nid, cut)

    def release(self, machine: Machine) -> None:
        """The last user is gone: an unlinked file, the exit of a process with a private mapping."""
        self.truncate(machine)
        self.hstate.files.remove(self)


def _runs(extents: Extents) -> list[tuple[int, int]]:
    return list(zip(extents.start.tolist(), extents.length.tolist(), strict=True))


def hugetlb_acct_memory(machine: Machine, hstate: Hstate, delta: int, nids: Sequence[int]) -> None:
    """Reserve `delta` huge pages, with surplus pages where the pool falls short (gather_surplus_pages())."""
    needed = hstate.resv_huge_pages + delta - hstate.free_huge_pages
    if needed > 0:
        got = alloc_surplus(machine, hstate, needed, nids)
        enough = sum(pages.pages for pages in got.values()) >> hstate.order == needed
        for nid, pages in got.items():
            if enough:
                hstate.pools[nid].push(pages)
            else:
                free_huge_pages(machine, hstate, nid, pages)
        if not enough:
            raise NoHugePages
    hstate.resv_huge_pages += delta


def hugetlb_unreserve(machine: Machine, hstate: Hstate, unused: int) -> None:
    """return_unused_surplus_pages(): reservations nobody came for, and the surplus that backed them."""
    if not hstate.is_gigantic:
        want = min(unused, hstate.surplus_huge_pages)
        remove_pool_pages(machine, hstate, list(hstate.pools), want, surplus=True)
    hstate.resv_huge_pages -= unused


def _alloc_huge_pages(
    machine: Machine, hstate: Hstate, count: int, nids: Sequence[int], *, owed: bool
) -> list[tuple[int, Extents]]:
    """alloc_huge_page(), `count` times: free pages in fallback order, then surplus; fewer where both end.

    `owed`: a reservation is used up; without one, what others have reserved is left alone.
    """
    spare = count if owed else hstate.free_huge_pages - hstate.resv_huge_pages
    parts: list[tuple[int, Extents]] = []
    left = count
    for nid in nids:
        taken = min(left, max(0, spare), hstate.free_huge_pages_node(nid))
        parts.append((nid, hstate.pools[nid].pop(taken << hstate.order)))
        left, spare = left - taken, spare - taken
    if left:
        parts += alloc_surplus(machine, hstate, left, nids).items()
    parts = [(nid, pages) for nid, pages in parts if pages.pages]
    if owed:
        hstate.resv_huge_pages -= sum(pages.pages for _, pages in parts) >> hstate.order
    return parts
