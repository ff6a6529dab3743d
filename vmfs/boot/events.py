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
NUMA_LOCAL = 0.975  # of them, where there are other nodes
NUMA_INTERLEAVE = 220  # calls a node, of init before it has a policy
REUSED_FAULTS = 10  # one write fault in so many finds the page to itself
PGPGIN_KBYTES = 100
LEVEL2_SPLITS = 6
EVENT_ZONES = {"DMA": "dma", "DMA32": "dma32", "Normal": "normal", "HighMem": "high", "Movable": "movable"}


@dataclass(slots=True)
class Taken:
    """A zone and what is in use of it; `busy`: its node's CPUs take their pages here."""

    node: NodeState
    zone: ZoneState
    demand: Demand
    busy: bool


def events(spec: Spec, build: Build, taken: list[Taken]) -> dict[str, int]:
    """Fills in the zones' NUMA events, too."""
    in_use = sum(t.demand.total for t in taken)
    passing = max(0, build.allocations.at(len(spec.cpus), len(spec.nodes)) - in_use)
    # Boot's work is done by the first CPU, init's by one of the next node, where there is one.
    workers = [t for t in taken if t.busy and t.node.cpus][:2] or taken[:1]
    counts: dict[str, int] = {}
    for t in taken:
        allocated = t.demand.total + (passing // len(workers) if t in workers else 0)
        name = f"pgalloc_{EVENT_ZONES[t.zone.name]}"
        counts[name] = counts.get(name, 0) + allocated
        _numa(t, allocated, alone=len(spec.nodes) == 1)
    freed = sum(counts.values()) - in_use + sum(t.zone.managed for t in taken)
    return counts | _others(spec, build) | {"pgfree": freed}


def _numa(t: Taken, allocated: int, *, alone: bool) -> None:
    """An atomic pool is one call, whatever its size."""
    calls = int((allocated - sum(t.demand.pools)) * NUMA_CALLS) + len(t.demand.pools)
    local = 0 if not t.node.cpus else calls if alone else int(calls * NUMA_LOCAL)
    t.zone.numa = {
        "numa_hit": calls,
        "numa_interleave": min(calls, NUMA_INTERLEAVE) if t.busy else 0,
        "numa_local": local,
        "numa_other": calls - local,
    }


def _others(spec: Spec, build: Build) -> dict[str, int]:
    activated = build.rootfs - build.inactive_rootfs if build.inactive_rootfs else 0
    counted = spec.kernel.has(Feature.DIRECT_MAP_EVENTS) and not spec.kernel.has(Feature.HIGHMEM)
    splits = LEVEL2_SPLITS if counted else 0
    return {
        "pgfault": build.faults,
        "pgreuse": build.faults // REUSED_FAULTS,
        "pgactivate": activated,
        "pgpgin": PGPGIN_KBYTES,
        "direct_map_level2_splits": splits,
    }
