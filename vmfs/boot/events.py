"""What happened between power-on and the first shell: the events of /proc/vmstat, as sums that agree.

Every page given out since boot was counted once, and every one freed, the memory that boot itself
handed over included.
"""

from __future__ import annotations

from dataclasses import dataclass

from vmfs.boot.free_lists import Demand
from vmfs.boot.release import Build
from vmfs.kernel import Feature
from vmfs.mm.snapshot import NodeState, ZoneState
from vmfs.spec import Spec

NUMA_CALLS = 0.88  # allocation calls a page allocated
REUSED_FAULTS = 10  # one write fault in so many finds the page to itself
PGPGIN_KBYTES = 100
LEVEL2_SPLITS = 6
EVENT_ZONES = {"DMA": "dma", "DMA32": "dma32", "Normal": "normal", "HighMem": "high", "Movable": "movable"}


@dataclass(slots=True)
class Taken:
    """A zone and what is in use of it."""

    node: NodeState
    zone: ZoneState
    demand: Demand


def events(spec: Spec, build: Build, taken: list[Taken]) -> dict[str, int]:
    """Fills in the zones' NUMA events, too."""
    in_use = sum(t.demand.total for t in taken)
    passing = max(0, build.allocations.at(len(spec.cpus), len(spec.nodes)) - in_use)
    counts: dict[str, int] = {}
    for t in taken:
        share = t.demand.total - sum(t.demand.pools)
        allocated = t.demand.total + passing * share // max(1, in_use)
        name = f"pgalloc_{EVENT_ZONES[t.zone.name]}"
        counts[name] = counts.get(name, 0) + allocated
        _numa(t, allocated)
    freed = sum(counts.values()) - in_use + sum(t.zone.managed for t in taken)
    return counts | _others(spec, build) | {"pgfree": freed}


def _numa(t: Taken, allocated: int) -> None:
    calls = int(allocated * NUMA_CALLS)
    # A node's own CPUs ask for its memory, or those of others where it has none.
    local = calls if t.node.cpus else 0
    t.zone.numa = {"numa_hit": calls, "numa_local": local, "numa_other": calls - local}


def _others(spec: Spec, build: Build) -> dict[str, int]:
    activated = build.rootfs - build.inactive_rootfs if build.inactive_rootfs else 0
    splits = LEVEL2_SPLITS if spec.kernel.has(Feature.DIRECT_MAP_EVENTS) else 0
    return {
        "pgfault": build.faults,
        "pgreuse": build.faults // REUSED_FAULTS,
        "pgactivate": activated,
        "pgpgin": PGPGIN_KBYTES,
        "direct_map_level2_splits": splits,
    }
