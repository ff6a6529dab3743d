"""Where an allocation looks, and in which order (mm/page_alloc.c: build_zonelists())."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine
    from vmfs.mm.mmzone import Node, Zone

MAX_NUMNODES = 1024


def fallback_order(nodes: list[Node]) -> dict[int, list[Node]]:
    """For each node, the nodes its allocations fall back to: find_next_best_node().

    Nodes without memory are in no list but have one of their own.
    """
    load = dict.fromkeys((node.nid for node in nodes), 0)
    return {node.nid: _order_for(index, nodes, load) for index, node in enumerate(nodes)}


def _order_for(local: int, nodes: list[Node], load: dict[int, int]) -> list[Node]:
    distances = nodes[local].distances

    def cost(index: int) -> tuple[int, int]:
        node = nodes[index]
        penalty = (index < local) + bool(node.cpus)
        return (distances[index] + penalty) * MAX_NUMNODES + load[node.nid], node.nid

    left = [i for i, node in enumerate(nodes) if node.present_pages]
    order: list[int] = []
    if local in left:
        left.remove(local)
        order.append(local)
    previous = local
    while left:
        best = min(left, key=cost)
        if distances[best] != distances[previous]:
            load[nodes[best].nid] += 1
        previous = best
        left.remove(best)
        order.append(best)
    return [nodes[i] for i in order]


def zonelist(machine: Machine, nid: int, highest_zoneidx: int, thisnode: bool = False) -> list[Zone]:
    """ZONELIST_FALLBACK (or NOFALLBACK) of a node: zones with managed pages, highest index first."""
    nodes = machine.fallback[nid]
    if thisnode:
        nodes = [node for node in nodes if node.nid == nid]
    return [
        zone
        for node in nodes
        for zone in reversed(node.zones)
        if zone.index <= highest_zoneidx and zone.managed_pages
    ]
