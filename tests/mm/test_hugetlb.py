"""What the recordings do not show of huge page pools: sizes, 32-bit, demotion, boot, bulk."""

from __future__ import annotations

from errno import EBUSY

import pytest

from tests.mm.fake_nodes import FakeMachine, fake_nodes  # noqa: F401
from vmfs.kernel import Arch, Kernel
from vmfs.mm.extents import Extents
from vmfs.mm.hugetlb import Hstate, set_max_huge_pages
from vmfs.mm.hugetlb_demote import demote_pool_huge_page
from vmfs.mm.hugetlbfs import HugetlbFile, NoHugePages
from vmfs.mm.snapshot import HugePageState
from vmfs.mm.vmstat import Item

GIB = 18  # order
NEW, OLD = Kernel.of((6, 12)), Kernel.of((6, 1))

pytestmark = pytest.mark.usefixtures("fake_nodes")


def counts(hstate):
    return [
        (hstate.nr_huge_pages_node(n), hstate.free_huge_pages_node(n), hstate.surplus_huge_pages_node(n))
        for n in hstate.pools
    ]


def machine_with(kernel=NEW, gib=(8, 8)):
    return FakeMachine(kernel, [n << GIB for n in gib], (GIB, 9))


def test_a_million_pages_take_one_allocation_a_node():
    machine = FakeMachine(NEW, [1 << 30] * 16)
    hstate = machine.hstates[0]
    set_max_huge_pages(machine, hstate, 10**6 + 3)
    assert machine.calls == 16
    assert [n for n, _, _ in counts(hstate)] == [62501] * 3 + [62500] * 13
    assert hstate.next_nid_to_alloc == 3
    set_max_huge_pages(machine, hstate, 0)
    assert counts(hstate) == [(0, 0, 0)] * 16
    assert hstate.next_nid_to_free == 3


def test_all_that_memory_holds_and_a_count_beyond_unsigned_long():
    machine = FakeMachine(NEW, [5 << 9, 2 << 9])
    hstate = machine.hstates[0]
    set_max_huge_pages(machine, hstate, machine.kernel.ulong_max)
    assert counts(hstate) == [(5, 5, 0), (2, 2, 0)]
    set_max_huge_pages(machine, hstate, machine.kernel.ulong_max, nid=1)  # the sum would wrap
    assert counts(hstate) == [(5, 5, 0), (2, 2, 0)]
    assert hstate.max_huge_pages == 7


def test_gigantic_pages_are_not_counted_as_buddy_allocations_and_never_become_surplus():
    machine = machine_with()
    gigantic = machine.hstates[0]
    set_max_huge_pages(machine, gigantic, 3)
    assert counts(gigantic) == [(2, 2, 0), (1, 1, 0)]
    assert not machine.events[Item.HTLB_BUDDY_ALLOC_SUCCESS]
    gigantic.nr_overcommit_huge_pages = 5
    file = HugetlbFile.create(gigantic)
    with pytest.raises(NoHugePages):
        file.reserve(machine, 0, 4, [0, 1])
    assert counts(gigantic) == [(2, 2, 0), (1, 1, 0)]


def test_gigantic_pages_can_be_surplus_since_7_2():
    machine = machine_with(Kernel.of((7, 2)))
    gigantic = machine.hstates[0]
    set_max_huge_pages(machine, gigantic, 3)
    gigantic.nr_overcommit_huge_pages = 5
    file = HugetlbFile.create(gigantic)
    file.reserve(machine, 0, 4, [0, 1])
    assert sum(surplus for _, _, surplus in counts(gigantic)) == 1


def test_pages_in_use_outlive_a_shrink_as_surplus_until_they_are_freed():
    machine = machine_with(OLD)
    hstate = machine.hstates[1]
    set_max_huge_pages(machine, hstate, 6)
    file = HugetlbFile.create(hstate)
    file.reserve(machine, 0, 5, [1, 0])
    file.fault(machine, 0, 4, [1, 0])
    set_max_huge_pages(machine, hstate, 1)
    assert (hstate.nr_huge_pages, hstate.free_huge_pages, hstate.surplus_huge_pages) == (5, 1, 4)
    assert hstate.max_huge_pages == 1
    file.release(machine)
    assert (hstate.nr_huge_pages, hstate.free_huge_pages, hstate.surplus_huge_pages) == (1, 1, 0)


def test_one_nodes_count_is_of_all_pages_in_old_kernels_and_of_persistent_ones_in_new():
    totals = {}
    for kernel in (OLD, NEW):
        machine = machine_with(kernel)
        hstate = machine.hstates[1]
        set_max_huge_pages(machine, hstate, 4)
        hstate.nr_overcommit_huge_pages = 2
        HugetlbFile.create(hstate).reserve(machine, 0, 6, [1, 0])  # two surplus pages on node 1
        assert counts(hstate) == [(2, 2, 0), (4, 4, 2)]
        set_max_huge_pages(machine, hstate, 2, nid=0)
        totals[kernel.release] = counts(hstate)
    # The old sum counts node 1's surplus as if it were persistent, so node 0 gets two pages more.
    assert totals == {(6, 1): [(4, 4, 0), (4, 4, 2)], (6, 12): [(2, 2, 0), (4, 4, 2)]}


def test_a_hole_in_a_file_gives_back_its_pages_and_its_reservations():
    machine = machine_with()
    hstate = machine.hstates[1]
    set_max_huge_pages(machine, hstate, 10)
    file = HugetlbFile.create(hstate)
    file.reserve(machine, 0, 8, [0, 1])
    file.fault(machine, 0, 6, [0, 1])
    file.truncate(machine, 2, 5)  # pages 2 to 5, and the reservation of 6
    assert file.present.start.tolist() == [0]
    assert file.present.length.tolist() == [2]
    assert (hstate.free_huge_pages, hstate.resv_huge_pages) == (8, 1)
    assert sum(node.stat[Item.NR_HUGETLB] for node in machine.nodes.values()) == 2 << 9
    file.release(machine)
    assert (hstate.free_huge_pages, hstate.resv_huge_pages) == (10, 0)


def test_32_bit_gives_low_memory_back_first():
    machine = FakeMachine(Kernel.of((6, 1), Arch.I386), [8 << 10], (10,), lowmem=4 << 10)
    hstate = machine.hstates[0]
    assert hstate.size_kbytes == 4096
    assert not hstate.is_gigantic
    set_max_huge_pages(machine, hstate, 8)
    set_max_huge_pages(machine, hstate, 5)
    assert sorted(machine.nodes[0].free.start.tolist()) == [1 << 10]
    assert machine.nodes[0].free.pages == 3 << 10


@pytest.mark.parametrize(("kernel", "left"), [(OLD, [1, 1]), (NEW, [0, 2])])
def test_demotion_goes_around_the_nodes_in_old_kernels_and_through_them_in_new(kernel, left):
    machine = machine_with(kernel)
    gigantic, huge = machine.hstates
    set_max_huge_pages(machine, gigantic, 4)
    demote_pool_huge_page(machine, gigantic, 2)
    assert [n for n, _, _ in counts(gigantic)] == left
    assert [n for n, _, _ in counts(huge)] == [(2 - n) * 512 for n in left]
    assert (gigantic.max_huge_pages, huge.max_huge_pages) == (2, 1024)
    demote_pool_huge_page(machine, gigantic, 100)
    assert (gigantic.nr_huge_pages, huge.nr_huge_pages) == (0, 2048)


def test_demotion_spares_reserved_pages_and_says_busy_when_there_should_be_some():
    machine = machine_with(OLD)
    gigantic, huge = machine.hstates
    set_max_huge_pages(machine, gigantic, 4)
    HugetlbFile.create(gigantic).reserve(machine, 0, 3, [0, 1])
    demote_pool_huge_page(machine, gigantic, 4)
    assert (gigantic.nr_huge_pages, huge.nr_huge_pages) == (3, 512)
    # One node has fewer free pages than are reserved in all: the difference wraps.
    with pytest.raises(OSError, match="demote") as error:
        demote_pool_huge_page(machine, gigantic, 4, nid=0)
    assert error.value.errno == EBUSY
    assert gigantic.nr_huge_pages_node(0) == 0


def test_demoted_pages_pay_for_surplus_in_old_kernels():
    machine = machine_with(OLD)
    gigantic, huge = machine.hstates
    set_max_huge_pages(machine, gigantic, 1)
    huge.nr_overcommit_huge_pages = 2
    HugetlbFile.create(huge).reserve(machine, 0, 2, [0, 1])
    demote_pool_huge_page(machine, gigantic, 1)
    assert counts(huge) == [(512, 512, 0), (0, 0, 0)]
    assert huge.max_huge_pages == 512


def test_pools_of_a_captured_machine():
    state = HugePageState(2048, {0: 5, 1: 2}, {0: 3, 1: 2}, {0: 1}, resv=2, overcommit=4, max_huge_pages=6)
    hstate = Hstate.of(9, [0, 1], state)
    hstate.adopt(state, 0, Extents.run(0, 5 << 9))
    hstate.adopt(state, 1, Extents.run(1 << 20, 2 << 9))
    assert counts(hstate) == [(5, 3, 1), (2, 2, 0)]
    assert (hstate.resv_huge_pages, hstate.nr_overcommit_huge_pages, hstate.max_huge_pages) == (2, 4, 6)
    assert [(nid, pages.pages >> 9) for nid, pages in hstate.pages_in_use()] == [(0, 2), (1, 0)]


def test_an_empty_hole_inside_a_file_moves_nothing():
    machine = machine_with()
    hstate = machine.hstates[1]
    set_max_huge_pages(machine, hstate, 10)
    file = HugetlbFile.create(hstate)
    file.fault(machine, 10, 8, [0, 1])
    file.truncate(machine, 13, 0)
    file.truncate(machine, 8, 8)
    assert file.present.start.tolist() == [16]
    assert file.present.length.tolist() == [2]


def test_a_shrink_can_leave_a_node_with_more_surplus_than_pages():
    machine = FakeMachine(OLD, [0, 3 << 9, 2 << 9])
    hstate = machine.hstates[0]
    set_max_huge_pages(machine, hstate, 5)
    file = HugetlbFile.create(hstate)
    file.reserve(machine, 0, 1, [0, 1, 2])
    set_max_huge_pages(machine, hstate, 1, nid=2)
    file.fault(machine, 1, 3, [0, 1, 2])
    set_max_huge_pages(machine, hstate, 2)
    assert counts(hstate) == [(0, 0, 0), (3, 0, 1), (1, 1, 1)]
    file.truncate(machine, 1, 3)
    set_max_huge_pages(machine, hstate, 0)
    assert counts(hstate) == [(0, 0, 0), (2, 2, 1), (0, 0, 1)]
    assert hstate.max_huge_pages == 0
