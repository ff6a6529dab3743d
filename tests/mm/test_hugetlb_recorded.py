"""Pools, surplus, reservations and counters after steps 06-15 and 36-37 equal those of seven kernels."""

from __future__ import annotations

import re

import pytest

from tests import recordings
from tests.mm import recorded_machine as recorded
from tests.mm.fake_nodes import FakeMachine, fake_nodes  # noqa: F401
from vmfs import capture
from vmfs.mm.extents import Extents
from vmfs.mm.hugetlb import set_max_huge_pages
from vmfs.mm.hugetlbfs import HugetlbFile
from vmfs.mm.vmstat import Item
from vmfs.mm.zonelist import fallback_order

FILES = ("nr_hugepages", "free_hugepages", "surplus_hugepages")
STILL_TOUCHING = (
    "big-256g-6.12",
    "13-hugetlb_surplus",
)  # the copy was made while pages were being faulted in

REFUSED_FOR_A_WHILE = (
    "pair-6.1",
    "36-nr_hugepages_max",
)  # five times more than there were rounds: until kswapd, which runs beside, had freed a block


def replayed(recording):
    """Each step with the machine after it; loads are run from the node that explains the numbers."""
    steps = recordings.steps(recording)
    kernel = recorded.machine_at(steps[0]).kernel
    nodes = recorded.machine_at(steps[0]).nodes
    order = 9 if kernel.hpage_pmd_order == 9 else 10
    machine = FakeMachine(kernel, [1 << 26] * len(nodes), (order,), None if order == 9 else 220 << 10)
    for node in nodes:
        path = steps[0] / f"sys/devices/system/node/node{node.nid}/distance"
        node.distances = tuple(int(word) for word in path.read_text().split()) if path.exists() else (10,)
    fallback = {nid: [n.nid for n in row] for nid, row in fallback_order(nodes).items()}
    file = None
    for step in steps:
        if not ("06" <= step.name[:2] <= "15" or "36" <= step.name[:2] <= "37"):
            continue
        if step.name.startswith("36"):
            only_what_the_kernel_found(machine, step)
        for action in recordings.actions(step):
            file = act(machine, action, step, fallback, file)
        yield step, machine


def only_what_the_kernel_found(machine, step):
    order = machine.default_hstate.order
    for nid, counts in nodes_of(step, machine).items():
        machine.nodes[nid].free = Extents.run(nid << 40, counts[0] << order)


def act(machine, action, step, fallback, file):
    hstate = machine.default_hstate
    if isinstance(action, recordings.Load):
        if found := re.match(r"hugetlbfs file of (\d+) huge pages mapped shared, (all|\d+)", action.words):
            file = HugetlbFile.create(hstate)
            count = int(found[1])
            touched = count if found[2] == "all" else int(found[2])
            first = local_node(machine, step, count)
            file.reserve(machine, 0, count, fallback[first])
            file.fault(machine, 0, touched, fallback[first])
        elif "file is removed" in action.words:
            file.release(machine)
    elif not action.open_error:
        value = int(action.payload)
        node = re.search(r"/node(\d+)/", action.path)
        if action.path.endswith("/nr_hugepages"):
            set_max_huge_pages(machine, hstate, value, int(node[1]) if node else None)
        else:
            hstate.nr_overcommit_huge_pages = value
    return file


def local_node(machine, step, count):
    """Where the process ran is not recorded: the node whose pages went first, or whose surplus grew."""
    after = nodes_of(step, machine)
    hstate = machine.default_hstate
    if count > hstate.free_huge_pages:
        return max(after, key=lambda nid: after[nid][2])
    return max(after, key=lambda nid: (hstate.free_huge_pages_node(nid) - after[nid][1], -after[nid][1]))


def nodes_of(step, machine):
    size = machine.default_hstate.size_kbytes
    found = {}
    for nid in machine.default_hstate.pools:
        path = f"sys/devices/system/node/node{nid}/hugepages/hugepages-{size}kB"
        if not (step / path).exists():  # no NUMA
            path = f"sys/kernel/mm/hugepages/hugepages-{size}kB"
        found[nid] = tuple(recorded.number(step, f"{path}/{name}") for name in FILES)
    return found


@pytest.mark.usefixtures("fake_nodes")
@pytest.mark.parametrize("name", recordings.names())
def test_every_pool_is_the_recorded_one(name):
    for step, machine in replayed(recordings.load(name)):
        assert_pools(step, machine)
        assert_counters(step, machine)


@pytest.mark.parametrize("name", recordings.names())
def test_every_pool_of_a_captured_machine_is_the_recorded_one(name):
    steps = recordings.steps(recordings.load(name))
    machine, _ = capture.load(next(step for step in steps if step.name.startswith("05")))
    fallback = {nid: [node.nid for node in row] for nid, row in machine.fallback.items()}
    file = None
    for step in steps:
        if "06" <= step.name[:2] <= "15":
            for action in recordings.actions(step):
                file = act(machine, action, step, fallback, file)
            assert_pools(step, machine)
            counts = recorded.vmstat(step)
            assert machine.event(Item.HTLB_BUDDY_ALLOC_SUCCESS) == counts["htlb_buddy_alloc_success"]
            assert machine.event(Item.HTLB_BUDDY_ALLOC_FAIL) == counts["htlb_buddy_alloc_fail"]
            if "nr_hugetlb" in counts:
                assert machine.global_page_state(Item.NR_HUGETLB) == counts["nr_hugetlb"]


def assert_pools(step, machine):
    hstate = machine.default_hstate
    ours = {
        nid: (
            hstate.nr_huge_pages_node(nid),
            hstate.free_huge_pages_node(nid),
            hstate.surplus_huge_pages_node(nid),
        )
        for nid in hstate.pools
    }
    theirs = nodes_of(step, machine)
    path = f"sys/kernel/mm/hugepages/hugepages-{hstate.size_kbytes}kB"
    if (step.parent.name, step.name) == STILL_TOUCHING:
        assert {n: (c[0], c[2]) for n, c in ours.items()} == {n: (c[0], c[2]) for n, c in theirs.items()}
    else:
        assert ours == theirs, step.name
        assert hstate.resv_huge_pages == recorded.number(step, f"{path}/resv_hugepages"), step.name
    assert hstate.nr_huge_pages == recorded.number(step, f"{path}/nr_hugepages")
    assert hstate.max_huge_pages == recorded.number(step, "proc/sys/vm/nr_hugepages")


def assert_counters(step, machine):
    counts = recorded.vmstat(step)
    assert machine.events[Item.HTLB_BUDDY_ALLOC_SUCCESS] == counts["htlb_buddy_alloc_success"], step.name
    if not (step.parent.name == REFUSED_FOR_A_WHILE[0] and step.name >= REFUSED_FOR_A_WHILE[1]):
        assert machine.events[Item.HTLB_BUDDY_ALLOC_FAIL] == counts["htlb_buddy_alloc_fail"], step.name
    if "nr_hugetlb" in counts:
        in_use = sum(node.stat[Item.NR_HUGETLB] for node in machine.nodes.values())
        assert in_use == counts["nr_hugetlb"], step.name


@pytest.mark.usefixtures("fake_nodes")
@pytest.mark.parametrize("name", recordings.names())
def test_every_page_comes_back(name):
    before = None
    for step, machine in replayed(recordings.load(name)):
        hstate = machine.default_hstate
        before = before or machine.free_pages() + (hstate.nr_huge_pages << hstate.order)
        if step.name.startswith("15"):
            assert machine.free_pages() == before
            assert not hstate.files
