"""Who uses the pages a booted machine does not have free: by node, and within it by zone."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from vmfs.boot import hash_tables
from vmfs.boot.free_lists import Demand
from vmfs.boot.release import Build
from vmfs.boot.zones import ZoneSpan
from vmfs.kernel import Feature
from vmfs.mm.mmzone import MAX_PAGE_ORDER, PAGE_SHIFT, PAGE_SIZE
from vmfs.mm.snapshot import NodeState, SlabState, ZoneState
from vmfs.spec import Spec, SpecError

POOL_SHIFT = 13  # an atomic DMA pool has 128 KiB a GiB
POOL_PAGES_MIN = 32
POOLS = 3  # GFP_KERNEL, GFP_DMA, GFP_DMA32
REMOTE_CPUS_SEEN = 8
EARLY_CPUS = 6  # the lists of more together hold no more: each is shorter
ROOMY = 1 << 15  # pages: a node of 128 MiB takes a full share
PCP_LITTLE, PCP_FULL = 0.02, 0.75
PCP_HERE, PCP_ELSEWHERE = 0.45, 0.2  # where it boots, and on other nodes
PCP_TUNED, PCP_TUNED_MOST = 0.3, 0.65  # since 6.7, the more the more CPUs of other nodes there are


@dataclass(slots=True)
class Usage:
    """Pages of the whole machine."""

    slab_reclaimable: int
    slab_unreclaimable: int
    threads: int
    stacks: int  # 0 where they are part of vmalloc
    vmalloc: int
    percpu_late: int
    other: int
    early: int  # in use when the reserves were computed
    pool: int  # each atomic DMA pool


@dataclass(slots=True)
class NodeUsage:
    """Pages of one node, counters named as in vmstat."""

    unmovable: int = 0
    vmalloc: int = 0  # unmovable, but HighMem will do
    reclaimable: int = 0
    movable: int = 0
    huge: int = 0
    stat: dict[str, int] = field(default_factory=dict)


def usage(spec: Spec, build: Build, caches: list[SlabState], low_pages: int, managed: int) -> Usage:
    """`low_pages`: nr_kernel_pages, `managed`: when the page allocator took over."""
    cpus, nodes = len(spec.cpus), len(spec.nodes)
    threads = build.threads.at(cpus, nodes)
    stacks = threads * (build.stack_kbytes << 10) // PAGE_SIZE
    early = hash_tables.table_pages(spec.kernel, low_pages, cpus, early=True)
    tables = hash_tables.table_pages(spec.kernel, low_pages, cpus, early=False)
    vmalloc = build.vmalloc.at(cpus, nodes) + (stacks if build.stacks_in_vmalloc else 0)
    linear = nodes == 1
    pool = _pool_pages(managed) if spec.kernel.has(Feature.ZONE_DMA32) else 0
    return Usage(
        slab_reclaimable=sum(c.num_slabs << c.order for c in caches if c.reclaimable),
        slab_unreclaimable=build.large_kmalloc
        + sum(c.num_slabs << c.order for c in caches if not c.reclaimable),
        threads=threads,
        stacks=0 if build.stacks_in_vmalloc else stacks,
        vmalloc=vmalloc + (0 if linear else early + tables) + _swap_maps(spec),
        percpu_late=build.percpu_more * spec.nr_possible_cpus,
        other=build.other.at(cpus, nodes) + (tables if linear else 0),
        early=build.early_users.at(min(cpus, EARLY_CPUS), nodes) + POOLS * pool + (0 if linear else early),
        pool=pool,
    )


def _swap_maps(spec: Spec) -> int:
    # swapon(): a byte a page, and eight a cluster of 512.
    slots = [swap.size_bytes >> PAGE_SHIFT for swap in spec.swaps]
    return sum(-(-count // PAGE_SIZE) + -(-(count // 512 * 8) // PAGE_SIZE) for count in slots)


def _pool_pages(managed: int) -> int:
    """dma_atomic_pool_init(): a power of two, at most the largest block."""
    wanted = max(POOL_PAGES_MIN, managed >> POOL_SHIFT)
    return min(1 << (wanted - 1).bit_length(), 1 << MAX_PAGE_ORDER)


def by_node(spec: Spec, build: Build, used: Usage, room: list[int]) -> list[NodeUsage]:
    """Half of the kernel's pages are spread evenly, as during boot, the other half follows the CPUs.

    `room`: pages of each node that need not be movable. A node with little gets little.
    """
    nodes = [NodeUsage() for _ in spec.nodes]
    able = [min(pages / ROOMY, 1.0) for pages in room]
    even = _shares(able)
    owned = _shares([share * len(node.cpus) for share, node in zip(able, spec.nodes, strict=True)]) or even
    shares = [(e + o) / 2 for e, o in zip(even, owned, strict=True)]
    counted = {
        "nr_slab_unreclaimable": _deal(used.slab_unreclaimable, shares),
        "nr_slab_reclaimable": _deal(used.slab_reclaimable, shares),
        "nr_vmalloc": _deal(used.vmalloc, even),
        "nr_page_table_pages": _deal(build.page_tables, shares),
        "other": _deal(used.other + used.percpu_late + used.stacks, shares),
    }
    for nid, node in enumerate(nodes):
        mine = {name: parts[nid] for name, parts in counted.items()}
        node.reclaimable = mine["nr_slab_reclaimable"]
        node.vmalloc = mine["nr_vmalloc"]
        node.unmovable = sum(mine.values()) - node.reclaimable - node.vmalloc
        mine.pop("other")
        node.stat = mine
    _stacks(spec, build, used, nodes, [nid for nid, share in enumerate(able) if share])
    _first_process(spec, build, nodes, able)
    return nodes


def _shares(weights: list[float]) -> list[float]:
    total = sum(weights)
    return [weight / total for weight in weights] if total else []


def _deal(count: int, shares: list[float]) -> list[int]:
    """Whole pages in these shares; the sum stays."""
    parts = [int(count * share) for share in shares]
    parts[shares.index(max(shares))] += count - sum(parts)
    return parts


def _stacks(spec: Spec, build: Build, used: Usage, nodes: list[NodeUsage], with_memory: list[int]) -> None:
    """nr_kernel_stack in KiB: a CPU's threads run on its node, the rest on the first."""
    per_node = [round(build.threads.per_cpu * len(node.cpus) + build.threads.per_node) for node in spec.nodes]
    per_node = [count if nid in with_memory else 0 for nid, count in enumerate(per_node)]
    per_node[with_memory[0]] += used.threads - sum(per_node)
    for node, threads in zip(nodes, per_node, strict=True):
        node.stat["nr_kernel_stack"] = threads * build.stack_kbytes


def _first_process(spec: Spec, build: Build, nodes: list[NodeUsage], able: list[float]) -> None:
    """The initramfs and init's own memory lie where init runs: not on the node that booted, if it can."""
    roomy = [nid for nid, share in enumerate(able) if share == max(able)]
    roomy = [nid for nid in roomy if spec.nodes[nid].cpus] or roomy
    home = nodes[roomy[1] if len(roomy) > 1 else roomy[0]]
    lru = build.rootfs + build.anon
    home.movable = lru
    home.stat |= {
        "nr_file_pages": build.rootfs,
        "nr_shmem": build.rootfs,
        "nr_anon_pages": build.anon,
        "nr_mapped": build.mapped,
        "nr_inactive_anon": build.inactive_rootfs,
        "nr_active_anon": lru - build.inactive_rootfs,
    }


KINDS = {
    "unmovable": ("unmovable", ("HighMem", "Movable", "Device")),
    "reclaimable": ("reclaimable", ("HighMem", "Movable", "Device")),
    "vmalloc": ("unmovable", ("Movable", "Device")),
    "movable": ("movable", ("Device",)),
    "huge": ("huge", ("Device",)),
}
"""What a node uses: the type it is allocated as, and the zones it does not reach."""


def by_zone(spans: list[ZoneSpan], frames: dict[str, int], node: NodeUsage) -> dict[str, Demand]:
    """The node's zones take its pages, the highest first."""
    demands = {span.name: Demand() for span in spans}
    for kind, (as_type, closed) in KINDS.items():
        left = getattr(node, kind)
        for span in reversed(spans):
            if span.name in closed:
                continue
            demand = demands[span.name]
            part = min(left, max(0, frames[span.name] - demand.total))
            setattr(demand, as_type, getattr(demand, as_type) + part)
            left -= part
        if left:
            what = "hugepages.pool" if kind == "huge" else "memory"
            lacks = f"too little for a kernel{' and this pool' if kind == 'huge' else ''}"
            raise SpecError(f"node {spans[0].nid}: {what}: {lacks}; accepted: {left * 4}K more memory")
    return demands


def fill_pcp(spec: Spec, node: NodeState, zone: ZoneState, room: int, *, lower: bool) -> int:
    """Pages on the per-cpu lists, which the frees of boot leave half full where it boots. Returns their sum.

    Those of other nodes are emptier; a zone under another of its node sees few, a node without CPUs too; of
    many CPUs of other nodes only some have come by.
    """
    if zone.pageset is None or not zone.managed or zone.name == "DMA":
        return 0
    remote = [c for c in spec.cpus if c not in node.cpus][:REMOTE_CPUS_SEEN]
    cpus = sorted({*node.cpus, *remote})
    high = zone.pageset[1]
    chance = random.Random(f"{spec.seed} {node.nid} {zone.name}")  # noqa: S311
    weights = [chance.random() + 0.2 for _ in cpus]
    wanted = min(int(_pcp_share(spec, node, len(cpus), lower=lower) * high), room) / sum(weights)
    counts = {c: min(high, int(wanted * w)) for c, w in zip(cpus, weights, strict=True)}
    zone.pcp_count = {c: count for c, count in counts.items() if count}
    if spec.kernel.has(Feature.PCP_HIGH_AUTO):
        zone.pcp_high = {c: high if c in zone.pcp_count else 0 for c in spec.cpus}
    return sum(zone.pcp_count.values())


def _pcp_share(spec: Spec, node: NodeState, cpus: int, *, lower: bool) -> float:
    """How many lists would be full."""
    if not spec.kernel.has(Feature.PCP_HIGH_FROM_WMARK):
        return PCP_FULL * cpus
    if lower or not node.cpus:
        return PCP_LITTLE * (len(node.cpus) or 1)
    if spec.kernel.has(Feature.PCP_HIGH_AUTO):
        return min(PCP_TUNED * cpus, PCP_TUNED_MOST * len(node.cpus))
    return (PCP_HERE if 0 in node.cpus else PCP_ELSEWHERE) * len(node.cpus)
