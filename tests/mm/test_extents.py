"""Runs of page frames against plain sets."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vmfs.mm.extents import Extents, distinct


def frames(extents):
    return [pfn for a, n in zip(extents.start, extents.length, strict=True) for pfn in range(a, a + n)]


@st.composite
def runs(draw):
    edges = sorted(draw(st.sets(st.integers(0, 400), max_size=14)))
    pairs = list(zip(edges[::2], edges[1::2], strict=False))
    pairs = draw(st.permutations(pairs))
    return Extents(np.array([a for a, _ in pairs], np.int64), np.array([b - a for a, b in pairs], np.int64))


@given(runs(), st.integers(0, 500))
def test_take_splits_in_order(extents, pages):
    head, rest = extents.take(pages)

    assert frames(head) + frames(rest) == frames(extents)
    assert head.pages == min(pages, extents.pages)


@given(runs(), runs())
def test_within_and_minus_part_the_pages(extents, other):
    other = other.coalesced()

    assert set(frames(extents.within(other))) == set(frames(extents)) & set(frames(other))
    assert set(frames(extents.minus(other))) == set(frames(extents)) - set(frames(other))
    assert list(extents.overlaps(other)) == [
        bool(set(range(a, a + n)) & set(frames(other)))
        for a, n in zip(extents.start, extents.length, strict=True)
    ]


@given(runs())
def test_coalesced_sorts_and_joins(extents):
    joined = extents.coalesced()

    assert frames(joined) == sorted(frames(extents))
    assert (joined.start[1:] > joined.end[:-1]).all()


@given(runs(), st.sampled_from([1, 2, 8, 64]))
def test_chopped_crosses_no_boundary(extents, size):
    pieces = extents.chopped(size)

    assert frames(pieces) == frames(extents)
    assert (pieces.start // size == (pieces.end - 1) // size).all()


@given(runs(), st.integers(0, 6))
def test_aligned_decomposes_into_blocks(extents, order):
    small, whole = extents.aligned(order)
    blocks = [(int(a), o) for o, starts in enumerate(small) for a in starts]

    assert all(a % (1 << o) == 0 for a, o in blocks)
    assert all(a % (1 << order) == 0 and n % (1 << order) == 0 for a, n in zip(*whole, strict=True))
    found = [pfn for a, o in blocks for pfn in range(a, a + (1 << o))] + frames(whole)
    assert sorted(found) == sorted(frames(extents))


@given(st.lists(st.integers(0, 1000)))
def test_distinct_values_are_those_of_a_set(values):
    assert distinct(np.array(values, np.int64)).tolist() == sorted(set(values))
