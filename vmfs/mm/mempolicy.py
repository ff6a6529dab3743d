"""Where a task's pages come from, and the weights that /sys/kernel/mm/mempolicy sets (mm/mempolicy.c).

No bandwidth is known of the nodes (a machine without HMAT), so nothing sets the weights by itself: all
are 1, and `auto` says true until somebody sets one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmfs.mm.snapshot import Snapshot

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

DEFAULT_WEIGHT = 1
LOCAL, BIND, PREFERRED, INTERLEAVE = POLICIES = ("local", "bind", "preferred", "interleave")


@dataclass(slots=True, eq=False)
class InterleaveWeight:
    nid: int
    weight: int = DEFAULT_WEIGHT


@dataclass(slots=True, eq=False)
class Mempolicy:
    weights: tuple[InterleaveWeight, ...]
    auto: bool = True

    @classmethod
    def of(cls, snapshot: Snapshot) -> Mempolicy:
        return cls(tuple(InterleaveWeight(node.nid) for node in snapshot.nodes))


def spread(machine: Machine, nid: int, policy: str, pages: int) -> list[tuple[int, int]]:
    """How many pages are asked of which node: of `nid`, or in turn of all that have memory."""
    if policy != INTERLEAVE:
        return [(nid, pages)]
    nids = [node.nid for node in machine.nodes if node.managed_pages]
    share, rest = divmod(pages, len(nids))
    shares = ((each, share + (index < rest)) for index, each in enumerate(nids))
    return [(each, count) for each, count in shares if count]


def numa_node_id(machine: Machine, nid: int) -> int:
    """The node of the CPU that a task of node `nid` runs on: its own, or the nearest with CPUs."""
    nodes = [node for node in machine.nodes if node.cpus]
    if machine.node(nid).cpus or not nodes:
        return nid
    return min(nodes, key=lambda node: (machine.distance(nid, node.nid), node.nid)).nid


def node_order(machine: Machine, nid: int, policy: str) -> list[int]:
    """The nodes an allocation of that policy may come from, the nearest first."""
    return [nid] if policy == BIND else [node.nid for node in machine.fallback[nid]]
