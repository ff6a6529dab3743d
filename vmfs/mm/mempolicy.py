"""Weighted interleaving: the weights that /sys/kernel/mm/mempolicy sets (mm/mempolicy.c).

No bandwidth is known of the nodes, so the automatic weights are 1.
"""

from __future__ import annotations

from dataclasses import dataclass

from vmfs.mm.snapshot import Snapshot

DEFAULT_WEIGHT = 1


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
