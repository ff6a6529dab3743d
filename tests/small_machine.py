"""A machine with free memory and nothing else, for tests that need one at once."""

from __future__ import annotations

from typing import Any

from vmfs.kernel import Arch, Feature, Kernel
from vmfs.mm.machine import Machine
from vmfs.mm.mmzone import MAX_PAGE_ORDER, MigrateType, zone_names
from vmfs.mm.snapshot import Hardware, HugePageState, NodeState, Snapshot, ZoneState

NODE_PAGES = 1 << 18
DEFAULTS: dict[Arch, list[int]] = {Arch.X86_64: [256, 256, 32, 0, 0], Arch.I386: [256, 32, 0, 0]}


def small_machine(
    release: tuple[int, int] = (6, 1), arch: Arch = Arch.X86_64, nodes: int = 2, **sysctl: Any
) -> Machine:
    """Nodes of 1 GiB in zone Normal, a CPU each; 32-bit x86 has one node."""
    kernel = Kernel.of(release, arch)
    nids = range(nodes if kernel.has(Feature.NUMA) else 1)
    sizes = (1 << 20, 2 << 10) if kernel.has(Feature.NUMA) else (4 << 10,)
    snapshot = Snapshot(
        kernel=kernel,
        name="small",
        seed=0,
        hardware=Hardware(len(nids), tuple(nids), tuple(nids), version="Linux version 6.1.0-1 (a@b) #1 SMP"),
        nodes=[_node(kernel, nid, nids) for nid in nids],
        slab_caches=[],
        hugepages=[HugePageState(size) for size in sizes],
        default_hugepage_kbytes=sizes[-1],
        sysctl={"lowmem_reserve_ratio": list(DEFAULTS[arch])} | sysctl,
    )
    return Machine.from_snapshot(snapshot)


def _node(kernel: Kernel, nid: int, nids: range) -> NodeState:
    distances = tuple(10 if nid == other else 21 for other in nids)
    return NodeState(nid, (nid,), distances, [_zone(kernel, nid, name) for name in zone_names(kernel)])


def _zone(kernel: Kernel, nid: int, name: str) -> ZoneState:
    zone = ZoneState(name)
    if name == "Normal":
        zone.start_pfn = (nid + 1) * NODE_PAGES
        zone.spanned = zone.present = zone.managed = NODE_PAGES
        zone.free[MigrateType.MOVABLE][MAX_PAGE_ORDER] = NODE_PAGES >> MAX_PAGE_ORDER
        zone.pageblocks = {MigrateType.MOVABLE: NODE_PAGES >> kernel.pageblock_order}
    return zone
