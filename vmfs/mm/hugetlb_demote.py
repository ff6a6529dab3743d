"""Splitting huge pages into smaller ones (mm/hugetlb.c: demote_store())."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from errno import EBUSY
from typing import TYPE_CHECKING

from vmfs.kernel import Feature
from vmfs.mm.hugetlb import Hstate, free_huge_pages
from vmfs.mm.hugetlb_walk import from_cursor

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine


def demote_pool_huge_page(machine: Machine, hstate: Hstate, count: int, nid: int | None = None) -> None:
    """demote_store(): split up to `count` free pages of node `nid`, or of all, into those of demote_order.

    EBUSY when pages should be there (fewer are free than reserved wraps the kernel's count) and none is.
    """
    nids = list(hstate.pools) if nid is None else [nid]
    free = {n: hstate.free_huge_pages_node(n) for n in nids}
    available = sum(free.values()) - hstate.resv_huge_pages
    if not count or not available:
        return
    if machine.kernel.has(Feature.HUGETLB_DEMOTE_BATCHED):
        taken = _in_a_row(hstate, nids, free, count)
    else:
        taken = hstate.walk_to_free(nids, free, min(count, available) if available > 0 else count).taken
    for n in nids:
        _split(machine, hstate, n, taken[n])
    moved = sum(taken.values())
    if moved < count and moved != available:
        raise OSError(EBUSY, "no free huge page to demote")


def _in_a_row(hstate: Hstate, nids: Sequence[int], free: Mapping[int, int], count: int) -> dict[int, int]:
    # A batch empties one node before it goes to the next, and does not spare what is reserved.
    taken = dict.fromkeys(nids, 0)
    order = from_cursor(nids, hstate.next_nid_to_free)
    for nid, following in zip(order, [*order[1:], order[0]], strict=True):
        taken[nid] = min(free[nid], count)
        count -= taken[nid]
        hstate.next_nid_to_free = following
        if not count:
            break
    return taken


def _split(machine: Machine, hstate: Hstate, nid: int, count: int) -> None:
    """demote_free_huge_page()"""
    target = next(h for h in machine.hstates if h.order == hstate.demote_order)
    pages = hstate.pools[nid].pop(count << hstate.order)
    hstate.pools[nid].nr -= count
    hstate.max_huge_pages -= count
    pieces = pages.pages >> target.order
    target.pools[nid].nr += pieces
    target.max_huge_pages += pieces
    if machine.kernel.has(Feature.HUGETLB_DEMOTE_BATCHED):
        target.pools[nid].push(pages)
    else:
        free_huge_pages(machine, target, nid, pages)
