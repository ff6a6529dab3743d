"""Any row of writes, mappings, faults and releases leaves what the kernel's page-by-page loops leave."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.mm import fake_nodes
from tests.mm.fake_nodes import FakeMachine
from tests.mm.hugetlb_reference import Reference
from vmfs.kernel import Feature, Kernel
from vmfs.mm import page_alloc, page_free
from vmfs.mm.hugetlb import set_max_huge_pages
from vmfs.mm.hugetlbfs import HugetlbFile, NoHugePages
from vmfs.mm.vmstat import Item

NODES = 3
COUNTS = st.integers(0, 30)


class HugePages(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(page_alloc, "alloc_pages_node", fake_nodes.alloc_pages_node)
        self.patch.setattr(page_free, "free_node_pages", fake_nodes.free_node_pages)

    def teardown(self):
        self.patch.undo()

    @initialize(room=st.lists(st.integers(0, 12), min_size=NODES, max_size=NODES), new=st.booleans())
    def boot(self, room, new):
        self.machine = FakeMachine(Kernel.of((6, 12) if new else (6, 1)), [n << 9 for n in room])
        self.hstate = self.machine.hstates[0]
        rule_of = self.machine.kernel.has(Feature.HUGETLB_NODE_COUNT_PERSISTENT)
        self.reference = Reference(room, persistent_rule=rule_of)
        self.files = []  # ours, node of each page, reserved offsets

    @rule(count=COUNTS, nid=st.none() | st.integers(0, NODES - 1))
    def set_max(self, count, nid):
        set_max_huge_pages(self.machine, self.hstate, count, nid)
        self.reference.set_max(count, nid)

    @rule(count=st.integers(0, 10))
    def overcommit(self, count):
        self.hstate.nr_overcommit_huge_pages = self.reference.overcommit = count

    @rule(count=COUNTS, fallback=st.permutations(range(NODES)))
    def reserve(self, count, fallback):
        file = HugetlbFile.create(self.hstate)
        granted = self.reference.reserve(count, fallback)
        if granted:
            file.reserve(self.machine, 0, count, fallback)
            self.files.append((file, {}, set(range(count))))
        else:
            with pytest.raises(NoHugePages):
                file.reserve(self.machine, 0, count, fallback)
            file.release(self.machine)

    @precondition(lambda self: self.files)
    @rule(data=st.data(), first=COUNTS, count=COUNTS, fallback=st.permutations(range(NODES)))
    def fault(self, data, first, count, fallback):
        file, there, reserved = data.draw(st.sampled_from(self.files))
        killed = False
        for offset in range(first, first + count):
            if offset not in there:
                nid = self.reference.fault(offset in reserved, fallback)
                killed = nid is None
                if killed:
                    break
                there[offset] = nid
                reserved.add(offset)
        try:
            file.fault(self.machine, first, count, fallback)
        except NoHugePages:
            assert killed
        else:
            assert not killed

    @precondition(lambda self: self.files)
    @rule(data=st.data(), first=COUNTS, count=COUNTS)
    def truncate(self, data, first, count):
        file, there, reserved = data.draw(st.sampled_from(self.files))
        gone = set(range(first, first + count))
        for offset in sorted(gone & there.keys()):
            self.reference.free_page(there[offset])
        self.reference.unreserve(len(gone & reserved) - len(gone & there.keys()))
        for offset in gone & there.keys():
            del there[offset]
        reserved -= gone
        file.truncate(self.machine, first, count)

    @invariant()
    def the_same(self):
        if not hasattr(self, "machine"):
            return
        ours, theirs = self.hstate, self.reference
        for nid in range(NODES):
            pool = ours.pools[nid]
            assert (pool.nr, pool.free.pages >> 9, pool.surplus) == (
                theirs.nr[nid],
                theirs.free[nid],
                theirs.surplus[nid],
            )
            assert self.machine.nodes[nid].free.pages >> 9 == theirs.room[nid]
        assert ours.resv_huge_pages == theirs.resv
        assert ours.max_huge_pages == theirs.max
        assert (ours.next_nid_to_alloc, ours.next_nid_to_free) == (theirs.to_alloc, theirs.to_free)
        assert self.machine.events[Item.HTLB_BUDDY_ALLOC_SUCCESS] == theirs.success
        assert self.machine.events[Item.HTLB_BUDDY_ALLOC_FAIL] == theirs.fail

    @invariant()
    def files_hold_their_pages(self):
        for file, there, reserved in getattr(self, "files", ()):
            assert file.present.pages == len(there)
            assert file.reserved.pages == len(reserved)


HugePages.TestCase.settings = settings(max_examples=150, stateful_step_count=25)
TestHugePages = HugePages.TestCase
