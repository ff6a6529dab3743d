"""Blocks taken from another migrate type: many at once are what as many single calls take."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vmfs.mm import fallback
from vmfs.mm.buddy import Buddy
from vmfs.mm.extents import Extents
from vmfs.mm.mmzone import NR_PAGE_ORDERS, MigrateType

START, PAGEBLOCK = 4096, 512
TYPES = (MigrateType.UNMOVABLE, MigrateType.MOVABLE, MigrateType.RECLAIMABLE)


def fragmented(blocks, owner=MigrateType.UNMOVABLE, piece=7, seed=0):
    """A zone all of whose page blocks belong to one type, every `piece` pages of it in use at random."""
    area = Buddy(START, START + blocks * PAGEBLOCK)
    whole = Extents.run(START, blocks * PAGEBLOCK)
    area.set_types(START + np.arange(blocks) * PAGEBLOCK, owner)
    pieces = whole.chopped(piece)
    area.free(pieces.select(np.random.default_rng(seed).random(len(pieces.start)) < 0.6))
    return area


def lists(area):
    return [[area.nr_free(order, t) for order in range(NR_PAGE_ORDERS)] for t in MigrateType]


def pageblocks(area):
    return [area.nr_pageblocks(t) for t in MigrateType]


@settings(max_examples=60)
@given(
    st.sampled_from(TYPES),
    st.sampled_from(TYPES),
    st.integers(0, 3),
    st.integers(1, 900),
    st.sampled_from([3, 7, 60, 300]),
    st.integers(0, 9),
)
def test_many_at_once_are_as_many_single_calls(owner, wanted, order, count, piece, seed):
    bulk, single = fragmented(6, owner, piece, seed), fragmented(6, owner, piece, seed)
    got, steals = bulk.alloc(order, count, wanted)
    ones = [single.alloc(order, 1, wanted) for _ in range(count)]

    assert got.pages == sum(pages.pages for pages, _ in ones)
    assert steals == sum(stolen for _, stolen in ones)
    assert lists(bulk) == lists(single)
    assert pageblocks(bulk) == pageblocks(single)


def test_the_cost_does_not_follow_the_number_of_page_blocks(monkeypatch):
    calls = []
    real = fallback.steal
    monkeypatch.setattr(fallback, "steal", lambda *args: calls.append(args) or real(*args))
    area = fragmented(5000)
    pages = area.nr_free_pages
    got, steals = area.alloc(0, pages, MigrateType.MOVABLE)

    assert got.pages == pages
    assert steals > 5000
    assert len(calls) < 4 * NR_PAGE_ORDERS


def test_half_a_page_block_brings_its_type_along():
    area = fragmented(1)
    area.free(Extents.run(START, PAGEBLOCK).minus(area.free_extents()))
    area.isolate(Extents.run(START, 100))
    area.alloc(0, 1, MigrateType.RECLAIMABLE)

    assert area.types_of(np.array([START])) == MigrateType.RECLAIMABLE
