"""The pages in use, dealt to nodes and zones, and the free lists of what is left."""

from __future__ import annotations

from dataclasses import replace

from vmfs.boot import free_lists
from vmfs.boot.events import Taken, events
from vmfs.boot.free_lists import SECTION, Demand
from vmfs.boot.ranges import Ranges, clip
from vmfs.boot.state import BootState
from vmfs.boot.usage import NodeUsage, Usage, by_node, by_zone, fill_pcp
from vmfs.boot.zones import ZoneSpan
from vmfs.kernel import Feature
from vmfs.mm.mmzone import PAGE_SHIFT
from vmfs.mm.snapshot import NodeState, ZoneState

Demands = dict[str, Demand]


def fill(state: BootState, used: Usage) -> None:
    """Free lists, per-cpu lists, page blocks, counters and events of every zone and node."""
    shares = by_node(state.spec, state.build, used, _room(state))
    demands: dict[int, Demands] = {}
    for nid in state.with_memory:
        _huge(state, nid, shares[nid])
        frames = {zone.name: zone.managed for zone in state.snapshot.nodes[nid].zones}
        demands[nid] = by_zone(state.spans[nid], frames, shares[nid])
    _dma_pools(state, demands, used.pool)
    for nid, node in enumerate(state.snapshot.nodes):
        node.stat = {k: v for k, v in shares[nid].stat.items() if _kept(state, k)}
        if nid in demands:
            _zones(state, node, shares[nid], demands[nid])
    state.snapshot.events = events(state.spec, state.build, _taken(state, demands))


def _room(state: BootState) -> list[int]:
    return [
        sum(zone.managed for zone in node.zones if zone.name != "Movable") for node in state.snapshot.nodes
    ]


def _taken(state: BootState, demands: dict[int, Demands]) -> list[Taken]:
    return [
        Taken(node, zone, demands[nid][zone.name], zone.name == zones[-1].name)
        for nid, node in enumerate(state.snapshot.nodes)
        for zones in [[zone for zone in node.zones if zone.present]]
        for zone in zones
    ]


def _kept(state: BootState, counter: str) -> bool:
    needs = {"nr_vmalloc": Feature.NR_VMALLOC_PER_NODE, "nr_page_table_pages": Feature.PAGETABLES_PER_NODE}
    return state.spec.kernel.has(needs.get(counter, Feature.BASE))


def _huge(state: BootState, nid: int, mine: NodeUsage) -> None:
    held = sum(pool.nr.get(nid, 0) * pool.size_kbytes for pool in state.snapshot.hugepages)
    mine.huge = held >> (PAGE_SHIFT - 10)
    if mine.huge and state.spec.kernel.has(Feature.NR_HUGETLB):
        mine.stat["nr_hugetlb"] = mine.huge


def _dma_pools(state: BootState, demands: dict[int, Demands], size: int) -> None:
    """dma_atomic_pool_init(): one block of each kind of memory, the kernel's own from the last node."""
    if not size:
        return
    last = state.for_kernel[-1]
    names = [span.name for span in state.spans[last] if span.memory and span.name != "Movable"]
    demands[last][names[-1]].pools.append(size)
    for name in ("DMA", "DMA32"):
        holders = [span.nid for spans in state.spans for span in spans if span.name == name and span.memory]
        if holders:
            demands[holders[-1]][name].pools.append(size)


def _zones(state: BootState, node: NodeState, mine: NodeUsage, demands: Demands) -> None:
    spans = state.spans[node.nid]
    top = max(i for i, span in enumerate(spans) if span.memory)
    lru = mine.movable
    for index in range(top, -1, -1):
        span, zone = spans[index], node.zones[index]
        if not zone.present:
            continue
        demand = demands[span.name]
        lru -= _lru_counters(zone, mine, demand.movable, lru)
        if index == top and not state.spec.kernel.has(Feature.PAGETABLES_PER_NODE):
            zone.stat["nr_page_table_pages"] = mine.stat["nr_page_table_pages"]
        _lists(state, node, span, zone, demand, lower=index < top)


def _lru_counters(zone: ZoneState, mine: NodeUsage, pages: int, left: int) -> int:
    """The zone's part of the node's lists, inactive pages first. `left` of them are not dealt yet."""
    dealt = mine.movable - left
    inactive = min(pages, max(0, mine.stat.get("nr_inactive_anon", 0) - dealt))
    if pages:
        zone.stat |= {"nr_zone_inactive_anon": inactive, "nr_zone_active_anon": pages - inactive}
    return pages


def _lists(
    state: BootState, node: NodeState, span: ZoneSpan, zone: ZoneState, demand: Demand, *, lower: bool
) -> None:
    free = clip(state.block.free[node.nid], span.start, span.end)
    under = lower and span.name == "DMA32"
    pcp = fill_pcp(state.spec, node, zone, max(0, zone.managed - demand.total), lower=under)
    kernel = 0 if under or span.name == "Movable" else pcp // 2  # half of the lists' pages were the kernel's
    whole = replace(demand, unmovable=demand.unmovable + kernel, movable=demand.movable + pcp - kernel)
    order = state.spec.kernel.pageblock_order
    free_lists.fill(order, zone, span, free, _deferred(state, span, lower=lower), whole)


def _deferred(state: BootState, span: ZoneSpan, *, lower: bool) -> Ranges:
    """defer_init(): of a node's last zone, what lies behind its first whole section."""
    if lower or not state.spec.kernel.has(Feature.SPARSEMEM):
        return ()
    return clip(span.memory, -(-(span.start + SECTION) // SECTION) * SECTION, span.end)
