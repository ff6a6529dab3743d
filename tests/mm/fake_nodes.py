"""An allocator without zones: each node yields so many pages. For what lies above page_alloc."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import pytest

from vmfs.kernel import Kernel
from vmfs.mm import page_alloc, page_free
from vmfs.mm.extents import Extents
from vmfs.mm.hugetlb import Hstate
from vmfs.mm.snapshot import HugePageState


class FakeNode:
    def __init__(self, nid, pages, lowmem=None):
        self.nid = nid
        self.managed_pages = pages
        self.free = Extents.run(nid << 40, pages)
        self.stat = Counter()
        zone = SimpleNamespace(is_highmem=lowmem is not None, populated=True, zone_start_pfn=lowmem)
        self.zones = (zone,)

    def mod_state(self, item, delta):
        self.stat[item] += delta


class FakeMachine:
    """`pages` by node; `lowmem`: frames below HighMem, on the one node of a 32-bit machine."""

    def __init__(self, kernel: Kernel, pages, orders=(9,), lowmem=None):
        self.kernel = kernel
        self.nodes = {nid: FakeNode(nid, count, lowmem) for nid, count in enumerate(pages)}
        self.events = Counter()
        self.calls = 0
        self.hstates = [Hstate.of(order, list(self.nodes), HugePageState(4 << order)) for order in orders]

    @property
    def default_hstate(self):
        return self.hstates[-1]

    zone_names = ("Normal", "HighMem", "Movable")

    def zone_index(self, name):
        return self.zone_names.index(name)

    def node(self, nid):
        return self.nodes[nid]

    def count_event(self, item, count):
        self.events[item] += count

    def free_pages(self):
        return sum(node.free.pages for node in self.nodes.values())


def alloc_pages_node(machine, request, *, retry):
    assert isinstance(retry, bool)
    return _take(machine, request.nid, request.order, request.count)


def _take(machine, nid, order, count):
    assert count > 0
    machine.calls += 1
    node = machine.nodes[nid]
    whole = min(count << order, node.free.pages >> order << order)
    got, node.free = node.free.take(whole)
    return got


def alloc_contig_node(machine, nid, pages, count):
    return _take(machine, nid, pages.bit_length() - 1, count)


def free_node_pages(machine, nid, extents, order):
    assert extents.pages % (1 << order) == 0
    node = machine.nodes[nid]
    node.free = Extents.concat([extents, node.free])


@pytest.fixture
def fake_nodes(monkeypatch):
    monkeypatch.setattr(page_alloc, "alloc_pages_node", alloc_pages_node)
    monkeypatch.setattr(page_alloc, "alloc_contig_node", alloc_contig_node, raising=False)
    monkeypatch.setattr(page_free, "free_node_pages", free_node_pages)
    return FakeMachine
