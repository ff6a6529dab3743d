"""Round-robin over nodes, in closed form (mm/hugetlb.c: for_each_node_mask_to_alloc(), ..._to_free()).

The kernel takes one page at a time: it asks the node under a cursor, moves the cursor on at every
node asked, and gives up when a whole round has refused. What a million such steps leave behind
follows from how many pages each node can yield.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple


class Walk(NamedTuple):
    """`taken` pages by node; `tries` nodes asked, refusals included; where the cursor stands then."""

    taken: dict[int, int]
    tries: int
    cursor: int


def walk(nids: Sequence[int], cursor: int, yields: Mapping[int, int], want: int) -> Walk:
    """Take `want` pages from `nids` (ascending), each yielding at most `yields[nid]`, from `cursor` on."""
    order = from_cursor(nids, cursor)
    if want <= 0:
        return Walk(dict.fromkeys(nids, 0), 0, cursor)
    tries = _tries(order, yields, want)
    rounds, rest = divmod(tries, len(order))
    asked = {nid: rounds + (i < rest) for i, nid in enumerate(order)}
    taken = {nid: min(asked[nid], yields[nid]) for nid in nids}
    return Walk(taken, tries, order[rest])


def from_cursor(nids: Sequence[int], cursor: int) -> list[int]:
    """A round: from the cursor's own node, else the next allowed one, around the end."""
    first = next((i for i, nid in enumerate(nids) if nid >= cursor), 0)
    return [*nids[first:], *nids[:first]]


def likely_cursors(counts: Mapping[int, int]) -> tuple[int, int]:
    """Where walks that left `counts` (by node, ascending) stopped: the cursors to allocate and to free at.

    A node's own knob leaves the cursor on that node: one that was lowered to free at, one that was raised to
    allocate at. The others tell of the rounds before. Other counts do not tell: both are where they begin.
    """
    first, own = next(iter(counts)), _set_by_itself(counts)
    others = {nid: count for nid, count in counts.items() if nid != own}
    alloc_at, free_at = _stopped(others, first) or (first, first)
    if own is None:
        return alloc_at, free_at
    return (alloc_at, own) if counts[own] < min(others.values()) else (own, free_at)


def _set_by_itself(counts: Mapping[int, int]) -> int | None:
    """The node whose count is not of the rounds that the others are of; of two, the lower one."""
    if len(counts) < 2 or _stopped(counts, 0):
        return None
    for pick in (min, max):
        nid = pick(counts, key=lambda nid: counts[nid])
        if _stopped({other: count for other, count in counts.items() if other != nid}, 0):
            return nid
    return None


def _stopped(counts: Mapping[int, int], first: int) -> tuple[int, int] | None:
    """Rounds from the first node on leave one page more, or one less, on the nodes before the cursor."""
    nids = list(counts)
    steps = [counts[a] - counts[b] for a, b in pairwise(nids)]
    if sum(map(abs, steps)) > 1:
        return None
    stopped = nids[steps.index(sum(steps)) + 1] if any(steps) else first
    return (stopped, first) if sum(steps) > 0 else (first, stopped)


def _tries(order: Sequence[int], yields: Mapping[int, int], want: int) -> int:
    most = max(yields[nid] for nid in order)
    if sum(yields[nid] for nid in order) < want:
        # The last page comes in round `most`; after it every node refuses once.
        last = max((i for i, nid in enumerate(order) if yields[nid] == most), default=0)
        return (most - 1) * len(order) + last + 1 + len(order) if most else len(order)
    full = bisect_left(range(most), want, key=lambda n: sum(min(n + 1, yields[nid]) for nid in order))
    left = want - sum(min(full, yields[nid]) for nid in order)
    giving = [i for i, nid in enumerate(order) if yields[nid] > full]
    return full * len(order) + giving[left - 1] + 1
