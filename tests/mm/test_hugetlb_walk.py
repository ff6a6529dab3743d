"""The closed form of the round-robin against the kernel's loop, one page at a time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vmfs.mm.hugetlb_walk import likely_cursors, walk


def loop(nids, cursor, yields, want):
    """for_each_node_mask_to_alloc(), as mm/hugetlb.c spells it."""

    def next_allowed(nid):
        return next((n for n in nids if n > nid), nids[0])

    left = dict(yields)
    taken = dict.fromkeys(nids, 0)
    tries = 0
    while sum(taken.values()) < want:
        for _ in nids:
            nid = cursor if cursor in nids else next_allowed(cursor)
            cursor = next_allowed(nid)
            tries += 1
            if left[nid]:
                left[nid] -= 1
                taken[nid] += 1
                break
        else:
            break
    return taken, tries, cursor


@st.composite
def walks(draw):
    nids = sorted(draw(st.sets(st.integers(0, 9), min_size=1, max_size=6)))
    yields = {nid: draw(st.integers(0, 12)) for nid in nids}
    return nids, draw(st.integers(0, 9)), yields, draw(st.integers(0, 50))


@given(walks())
def test_the_closed_form_is_the_loop(args):
    _, cursor, _, want = args
    taken, tries, end = loop(*args)
    done = walk(*args)
    assert (done.taken, done.tries) == (taken, tries)
    if want:
        assert done.cursor == end
    else:
        assert done.cursor == cursor


def test_a_million_pages_of_many_nodes_are_arithmetic():
    nids = list(range(1024))
    done = walk(nids, 3, dict.fromkeys(nids, 1 << 40), 10**6 + 1)
    assert sum(done.taken.values()) == done.tries == 10**6 + 1
    assert done.cursor == (3 + 10**6 + 1) % 1024


def test_nodes_that_run_out_are_asked_again_in_every_round():
    """quad-6.12, step 36: what the nodes yielded and how many attempts the kernel counted as failed."""
    yields = {0: 445, 1: 472, 2: 695, 3: 242}
    done = walk([0, 1, 2, 3], 0, yields, 100000)
    assert done.taken == yields
    assert done.tries - sum(yields.values()) == 929


@given(walks(), st.booleans())
def test_counts_tell_where_a_walk_from_the_first_node_stopped(args, frees):
    nids, _, _, want = args
    plenty = dict.fromkeys(nids, 10**7)
    done = walk(nids, nids[0], plenty, want)
    if frees:
        left = {nid: plenty[nid] - taken for nid, taken in done.taken.items()}
        assert likely_cursors(left) == (nids[0], done.cursor)
    else:
        assert likely_cursors(done.taken) == (done.cursor, nids[0])


def test_a_nodes_own_knob_leaves_the_cursor_there():
    assert likely_cursors({0: 16, 1: 16, 2: 12}) == (0, 2)
    assert likely_cursors({0: 4, 1: 9, 3: 4}) == (1, 0)


def test_beside_it_the_others_tell_where_rounds_stopped():
    """Recorded (6.12): 61 pages, node 2 lowered to 15, then all to 24."""
    assert likely_cursors({0: 21, 1: 20, 2: 15}) == (1, 2)
    assert walk([0, 1, 2], 2, {0: 21, 1: 20, 2: 15}, 56 - 24).taken == {0: 11, 1: 10, 2: 11}
    assert likely_cursors({0: 30, 1: 20, 2: 21}) == (0, 2)


def test_of_two_nodes_the_lower_pool_was_lowered():
    """Recorded (6.1 and 7.2): 82 and 81 pages, node 1 lowered to 40, then both to 65 pages."""
    _, free_at = likely_cursors({0: 82, 1: 40})
    assert walk([0, 1], free_at, {0: 82, 1: 40}, 82 + 40 - 65).taken == {0: 82 - 54, 1: 40 - 11}


def test_other_counts_do_not_tell():
    assert (
        likely_cursors({0: 1, 2: 5}) == likely_cursors({0: 1, 1: 3, 2: 5}) == likely_cursors({0: 0}) == (0, 0)
    )
