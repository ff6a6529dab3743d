"""Pools of huge pages (mm/hugetlb.c).

Counts of an hstate are huge pages; pages of its lists are base pages, as everywhere. vmemmap of
huge pages is never given back (hugetlb_optimize_vmemmap is only stored), and no page is poisoned.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vmfs.kernel import Feature
from vmfs.mm import page_alloc, page_free, vmscan
from vmfs.mm.alloc_request import htlb_alloc_mask
from vmfs.mm.extents import Extents
from vmfs.mm.hugetlb_walk import Walk, likely_cursors, walk
from vmfs.mm.mmzone import MAX_PAGE_ORDER, PAGE_SHIFT
from vmfs.mm.vmstat import Item

if TYPE_CHECKING:
    from vmfs.mm.hugetlbfs import HugetlbFile
    from vmfs.mm.machine import Machine
    from vmfs.mm.snapshot import HugePageState

HUGETLB_PAGE_ORDER = 9  # where there is a larger size: on x86-64


@dataclass(slots=True)
class NodePool:
    """One node's share. The head of the free list, where pages go and come, is the end of `free`."""

    nr: int = 0
    surplus: int = 0
    free: Extents = field(default_factory=Extents.empty)
    captured: Extents = field(default_factory=Extents.empty)  # in use, by whom the capture does not say

    def pop(self, pages: int) -> Extents:
        self.free, head = self.free.take(self.free.pages - pages)
        return head

    def push(self, extents: Extents) -> None:
        self.free = Extents.concat([self.free, extents])


@dataclass(slots=True, eq=False)
class Hstate:
    """struct hstate: the huge pages of one size. A cursor is the node that is asked next."""

    order: int
    pools: dict[int, NodePool]  # of the nodes with memory, ascending
    next_nid_to_alloc: int
    next_nid_to_free: int
    demote_order: int = 0
    resv_huge_pages: int = 0
    nr_overcommit_huge_pages: int = 0
    max_huge_pages: int = 0
    files: list[HugetlbFile] = field(default_factory=list)

    @classmethod
    def of(cls, order: int, nids: Sequence[int], state: HugePageState) -> Hstate:
        """Counts of a snapshot; `adopt` brings each node's pages. Of a capture these tell of the cursors."""
        persistent = {nid: state.nr.get(nid, 0) - state.surplus.get(nid, 0) for nid in nids}
        alloc_at, free_at = likely_cursors(persistent)
        if state.next_nid_to_alloc is not None:
            alloc_at = state.next_nid_to_alloc
        hstate = cls(order, {nid: NodePool() for nid in nids}, alloc_at, free_at)
        hstate.demote_order = HUGETLB_PAGE_ORDER if hstate.is_gigantic else 0
        hstate.resv_huge_pages = state.resv
        hstate.nr_overcommit_huge_pages = state.overcommit
        hstate.max_huge_pages = state.max_huge_pages
        return hstate

    def adopt(self, state: HugePageState, nid: int, pages: Extents) -> None:
        """The pages of one node of a snapshot, free and used."""
        pool = self.pools[nid]
        pool.nr = state.nr.get(nid, 0)
        pool.surplus = state.surplus.get(nid, 0)
        pool.free, pool.captured = pages.take(state.free.get(nid, 0) << self.order)

    @property
    def size_kbytes(self) -> int:
        return 1 << (self.order + PAGE_SHIFT - 10)

    @property
    def is_gigantic(self) -> bool:
        """Beyond the buddy allocator: taken as a contiguous range."""
        return self.order > MAX_PAGE_ORDER

    @property
    def nr_huge_pages(self) -> int:
        return sum(pool.nr for pool in self.pools.values())

    @property
    def free_huge_pages(self) -> int:
        return sum(pool.free.pages for pool in self.pools.values()) >> self.order

    @property
    def surplus_huge_pages(self) -> int:
        return sum(pool.surplus for pool in self.pools.values())

    @property
    def persistent_huge_pages(self) -> int:
        return self.nr_huge_pages - self.surplus_huge_pages

    def nr_huge_pages_node(self, nid: int) -> int:
        return self.pools[nid].nr if nid in self.pools else 0

    def free_huge_pages_node(self, nid: int) -> int:
        return self.pools[nid].free.pages >> self.order if nid in self.pools else 0

    def surplus_huge_pages_node(self, nid: int) -> int:
        return self.pools[nid].surplus if nid in self.pools else 0

    def pages_in_use(self) -> Iterator[tuple[int, Extents]]:
        """By node: what files hold, and what somebody held when the machine was captured."""
        for nid, pool in self.pools.items():
            yield nid, pool.captured
        for file in self.files:
            yield from ((segment.nid, segment.pages) for segment in file.segments)

    def walk_to_alloc(self, nids: Sequence[int], yields: Mapping[int, int], want: int) -> Walk:
        done = walk(nids, self.next_nid_to_alloc, yields, want)
        self.next_nid_to_alloc = done.cursor
        return done

    def walk_to_free(self, nids: Sequence[int], yields: Mapping[int, int], want: int) -> Walk:
        done = walk(nids, self.next_nid_to_free, yields, want)
        self.next_nid_to_free = done.cursor
        return done


def set_max_huge_pages(
    machine: Machine, hstate: Hstate, count: int, nid: int | None = None, nids: Iterable[int] | None = None
) -> None:
    """Bring the persistent pool to `count`: of node `nid`, or of all within `nids` (a memory policy's).

    Gets as near as memory and users of the pages allow; never fails. A node without memory has none to give.
    """
    if nid is not None and nid not in hstate.pools:
        return
    allowed = [nid] if nid is not None else sorted(nids or hstate.pools)
    if nid is not None:
        count = min(count + _elsewhere(machine, hstate, nid), machine.kernel.ulong_max)
    _adopt_surplus(hstate, allowed, count)
    if count > hstate.persistent_huge_pages:
        _grow(machine, hstate, allowed, count - hstate.persistent_huge_pages)
    else:
        _shrink(machine, hstate, allowed, count)
    hstate.max_huge_pages = hstate.persistent_huge_pages


def _elsewhere(machine: Machine, hstate: Hstate, nid: int) -> int:
    if machine.kernel.has(Feature.HUGETLB_NODE_COUNT_PERSISTENT):
        return hstate.persistent_huge_pages - hstate.pools[nid].nr + hstate.pools[nid].surplus
    return hstate.nr_huge_pages - hstate.pools[nid].nr


def _adopt_surplus(hstate: Hstate, nids: Sequence[int], count: int) -> None:
    """adjust_pool_surplus(-1): surplus pages become persistent before any is allocated."""
    want = min(hstate.surplus_huge_pages, count - hstate.persistent_huge_pages)
    taken = hstate.walk_to_alloc(nids, {nid: hstate.pools[nid].surplus for nid in nids}, want).taken
    for nid in nids:
        hstate.pools[nid].surplus -= taken[nid]


def _grow(machine: Machine, hstate: Hstate, nids: Sequence[int], want: int) -> None:
    """alloc_pool_huge_page(), `want` times: a node that refuses once is only asked lightly after that."""
    got = {nid: Extents.empty() for nid in nids}
    yields = {nid: machine.node(nid).managed_pages >> hstate.order for nid in nids}
    refusing: set[int] = set()
    asking = True
    while asking:
        plan = walk(nids, hstate.next_nid_to_alloc, yields, want)
        asking = False
        for nid in nids:
            missing = plan.taken[nid] - (got[nid].pages >> hstate.order)
            fresh = alloc_fresh(machine, hstate, nid, missing, retry=True) if missing else Extents.empty()
            got[nid] = Extents.concat([got[nid], fresh])
            if fresh.pages < missing << hstate.order:
                yields[nid] = got[nid].pages >> hstate.order
                refusing.add(nid)
                asking = True
    hstate.next_nid_to_alloc = plan.cursor
    for nid, pages in got.items():
        hstate.pools[nid].nr += pages.pages >> hstate.order
        hstate.pools[nid].push(pages)
    refused = plan.tries - sum(plan.taken.values())
    count_allocs(machine, hstate, plan.tries - refused, plan.tries)
    _count_stalls(machine, hstate, refused - len(refusing))


def alloc_fresh(machine: Machine, hstate: Hstate, nid: int, count: int, *, retry: bool) -> Extents:
    """alloc_fresh_huge_page() on one node: as many of `count` huge pages as it yields.

    Of more than it has that depends on where its pages lie and on whose lists the free ones are, which no
    capture tells: kernels answer up to 8 % apart from run to run of one machine (docs/differences.md).
    """
    if hstate.is_gigantic:
        return page_alloc.alloc_contig_node(machine, nid, 1 << hstate.order, count)
    request = htlb_alloc_mask(machine, nid, count, hstate.order)
    return page_alloc.alloc_pages_node(machine, request, retry=retry)


def _count_stalls(machine: Machine, hstate: Hstate, times: int) -> None:
    """Whoever is refused by the buddy allocator has tried to reclaim before, also where he was before."""
    if times > 0 and not hstate.is_gigantic:
        request = htlb_alloc_mask(machine, next(iter(hstate.pools)), times, hstate.order)
        vmscan.count_stalls(machine, request.highest_zoneidx, times)


def count_allocs(machine: Machine, hstate: Hstate, successes: int, tries: int) -> None:
    """Contiguous ranges are not counted: htlb_buddy_alloc_* is about the buddy allocator."""
    if not hstate.is_gigantic:
        machine.count_event(Item.HTLB_BUDDY_ALLOC_SUCCESS, successes)
        machine.count_event(Item.HTLB_BUDDY_ALLOC_FAIL, tries - successes)


def _shrink(machine: Machine, hstate: Hstate, nids: Sequence[int], count: int) -> None:
    """Free what nobody uses or has reserved; what is left above `count` becomes surplus."""
    used = hstate.nr_huge_pages - hstate.free_huge_pages
    least = max(count, hstate.resv_huge_pages + used)
    _try_to_free_low(machine, hstate, nids, least)
    remove_pool_pages(machine, hstate, nids, hstate.persistent_huge_pages - least)
    # Freeing does not look at surplus, so a node can be left with more surplus than pages.
    yields = {nid: max(0, hstate.pools[nid].nr - hstate.pools[nid].surplus) for nid in nids}
    taken = hstate.walk_to_free(nids, yields, hstate.persistent_huge_pages - count).taken
    for nid in nids:
        hstate.pools[nid].surplus += taken[nid]


def _try_to_free_low(machine: Machine, hstate: Hstate, nids: Sequence[int], least: int) -> None:
    """Pages below HighMem go first: the kernel can use them for anything."""
    for nid in nids:
        for zone in machine.node(nid).zones:
            if zone.is_highmem and zone.populated:
                pool = hstate.pools[nid]
                low = pool.free.within(Extents.run(0, zone.zone_start_pfn))
                want = max(0, hstate.nr_huge_pages - least) << hstate.order
                _, going = low.take(low.pages - want)
                pool.free = pool.free.minus(going.coalesced())
                _to_buddy(machine, hstate, nid, going)


def remove_pool_pages(
    machine: Machine, hstate: Hstate, nids: Sequence[int], want: int, *, surplus: bool = False
) -> None:
    """remove_pool_huge_page(), `want` times; `surplus`: only pages that are accounted as surplus."""
    yields = {nid: hstate.free_huge_pages_node(nid) for nid in nids}
    if surplus:
        yields = {nid: min(pages, hstate.pools[nid].surplus) for nid, pages in yields.items()}
    for nid, count in hstate.walk_to_free(nids, yields, want).taken.items():
        if surplus:
            hstate.pools[nid].surplus -= count
        _to_buddy(machine, hstate, nid, hstate.pools[nid].pop(count << hstate.order))


def _to_buddy(machine: Machine, hstate: Hstate, nid: int, extents: Extents) -> None:
    if extents.pages:
        hstate.pools[nid].nr -= extents.pages >> hstate.order
        page_free.free_node_pages(machine, nid, extents, hstate.order)


def may_overcommit(machine: Machine, hstate: Hstate) -> bool:
    """hstate_is_gigantic_no_runtime(): for long, pages beyond the buddy allocator could not be surplus."""
    return machine.kernel.has(Feature.HUGETLB_OVERCOMMIT_GIGANTIC) or not hstate.is_gigantic


def alloc_surplus(machine: Machine, hstate: Hstate, want: int, nids: Sequence[int]) -> dict[int, Extents]:
    """alloc_surplus_huge_page(), `want` times, as far as nr_overcommit_hugepages and memory go.

    `nids` is the caller's fallback order; only when all of them refuse, reclaim is tried. The pages
    are counted as the pool's and as surplus; they are on no free list yet.
    """
    overcommit = hstate.nr_overcommit_huge_pages if may_overcommit(machine, hstate) else 0
    room = overcommit - hstate.surplus_huge_pages
    asked = left = max(0, min(want, room))
    got = {nid: Extents.empty() for nid in nids}
    for retry in (False, True):
        for nid in nids:
            fresh = alloc_fresh(machine, hstate, nid, left, retry=retry) if left else Extents.empty()
            got[nid] = Extents.concat([got[nid], fresh])
            left -= fresh.pages >> hstate.order
    count_allocs(machine, hstate, asked - left, asked if not left else asked - left + 1)
    for nid, pages in got.items():
        hstate.pools[nid].nr += pages.pages >> hstate.order
        hstate.pools[nid].surplus += pages.pages >> hstate.order
    return got


def free_huge_pages(machine: Machine, hstate: Hstate, nid: int, extents: Extents) -> None:
    """free_huge_page() of each: to the buddy allocator while the node has surplus, else to the pool."""
    pool = hstate.pools[nid]
    over, kept = extents.take(min(pool.surplus << hstate.order, extents.pages))
    pool.surplus -= over.pages >> hstate.order
    pool.push(kept)
    _to_buddy(machine, hstate, nid, over)
