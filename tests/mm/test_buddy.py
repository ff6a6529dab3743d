"""The free lists against a set of frames that does the same by hand."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vmfs.mm.buddy import Buddy
from vmfs.mm.check import free_list_faults
from vmfs.mm.extents import Extents
from vmfs.mm.mmzone import MAX_PAGE_ORDER, NR_PAGE_ORDERS, MigrateType

START, PAGES = 4096, 8 << MAX_PAGE_ORDER
TYPES = (MigrateType.UNMOVABLE, MigrateType.MOVABLE, MigrateType.RECLAIMABLE)


def empty_zone() -> Buddy:
    buddy = Buddy(START, START + PAGES)
    buddy.add_runs(Extents.run(START, PAGES), MigrateType.MOVABLE)
    return buddy


def frames(extents: Extents) -> set[int]:
    return {pfn for a, n in zip(extents.start, extents.length, strict=True) for pfn in range(a, a + n)}


def maximal_blocks(free: set[int]) -> list[int]:
    """How many blocks of each order the buddy system makes of these free frames."""
    counts = [0] * NR_PAGE_ORDERS
    for order in range(MAX_PAGE_ORDER, -1, -1):
        size = 1 << order
        for start in range(START, START + PAGES, size):
            block = set(range(start, start + size))
            if block <= free:
                counts[order] += 1
                free = free - block
    return counts


operations = st.lists(
    st.tuples(
        st.sampled_from(["alloc", "alloc", "free", "free half"]),
        st.sampled_from([0, 0, 1, 3, 9, 10]),
        st.integers(1, 300),
        st.sampled_from(TYPES),
    ),
    max_size=25,
)


@settings(max_examples=60)
@given(operations)
def test_lists_are_those_of_the_free_frames(steps):
    buddy, owned, free = empty_zone(), [], set(range(START, START + PAGES))
    for verb, order, count, migratetype in steps:
        if verb == "alloc":
            got, _ = buddy.alloc(order, count, migratetype)
            assert got.pages <= count << order
            assert frames(got) <= free
            assert not (got.start & ((1 << order) - 1)).any()
            free -= frames(got)
            owned.append(got)
        elif owned:
            going = owned.pop(0)
            if verb == "free half":
                going, kept = going.take(going.pages // 2)
                owned.append(kept)
            buddy.free(going)
            free |= frames(going)
    assert frames(buddy.free_extents()) == free
    assert [buddy.nr_free(order) for order in range(NR_PAGE_ORDERS)] == maximal_blocks(free)
    assert list(free_list_faults(buddy)) == []


def test_a_request_larger_than_the_zone_gets_the_zone():
    buddy = empty_zone()
    got, _ = buddy.alloc(9, 10**9, MigrateType.MOVABLE)

    assert got.pages == PAGES
    assert buddy.nr_free_pages == 0


def test_the_smallest_sufficient_block_is_split():
    buddy = empty_zone()
    first, _ = buddy.alloc(0, 1, MigrateType.MOVABLE)
    before = [buddy.nr_free(order) for order in range(NR_PAGE_ORDERS)]
    buddy.alloc(0, 1, MigrateType.MOVABLE)

    assert first.pages == 1
    assert before == [1] * MAX_PAGE_ORDER + [7]
    assert [buddy.nr_free(order) for order in range(NR_PAGE_ORDERS)] == [0] + [1] * 9 + [7]


def test_unmovable_pages_convert_the_page_blocks_they_take():
    buddy = empty_zone()
    buddy.set_nr_pageblocks(MigrateType.MOVABLE, PAGES >> 9)
    buddy.alloc(0, 1, MigrateType.UNMOVABLE)

    assert buddy.nr_pageblocks(MigrateType.UNMOVABLE) == 2  # a block of the largest order is two
    assert buddy.nr_pageblocks(MigrateType.MOVABLE) == (PAGES >> 9) - 2
    assert buddy.nr_free(0, MigrateType.UNMOVABLE) == 1


def test_isolated_pages_leave_the_rest_of_their_blocks_free():
    buddy = empty_zone()
    hole = Extents(np.array([START + 5, START + 2000]), np.array([3, 100]))
    buddy.isolate(hole)

    assert buddy.nr_free_pages == PAGES - 103
    assert not frames(buddy.free_extents()) & frames(hole)
    assert list(free_list_faults(buddy)) == []


def test_a_terabyte_costs_no_more_than_a_block():
    buddy = Buddy(0, 1 << 28)
    buddy.add_runs(Extents.run(0, 1 << 28), MigrateType.MOVABLE)
    got, _ = buddy.alloc(9, 100_000, MigrateType.MOVABLE)

    assert len(got.start) == 1
    buddy.free(got)
    assert buddy.nr_free(MAX_PAGE_ORDER) == 1 << 18
