"""Specification in, snapshot out."""

from __future__ import annotations

from dataclasses import replace

from vmfs.boot import limits, page_state
from vmfs.boot.direct_map import direct_map
from vmfs.boot.dmesg import dmesg
from vmfs.boot.firmware import MemoryMap, memory_map
from vmfs.boot.hardware import hardware, mounts
from vmfs.boot.memblock import Memblock, boot_memory
from vmfs.boot.ranges import clip, pages
from vmfs.boot.release import Build, build_of
from vmfs.boot.slab_caches import Scale, slab_caches
from vmfs.boot.state import BootState
from vmfs.boot.usage import Usage, usage
from vmfs.boot.zones import ZoneSpan, zone_spans
from vmfs.kernel import Feature
from vmfs.mm.mmzone import MAX_PAGE_ORDER, PAGE_SHIFT, PAGE_SIZE
from vmfs.mm.snapshot import HugePageState, NodeState, Snapshot, SwapState, ZoneState
from vmfs.spec import Spec

FIRST_SWAP_PRIORITY = -2
BOOT_TIME = 1767225600  # seconds since the epoch: the same machine shows the same files
LOADAVG = (0.15, 0.03, 0.01)
FORKS = 1400


def _build(spec: Spec) -> Build:
    build = build_of(spec.kernel)
    if spec.initrd_bytes is None:
        return build
    return replace(build, initrd_kbytes=-(-spec.initrd_bytes // PAGE_SIZE) * (PAGE_SIZE >> 10))


def boot(spec: Spec) -> Snapshot:
    """The kernel of `spec` on its hardware, before the tasks, files and sysctls that `spec` adds.

    SpecError where the memory is too little for the kernel itself.
    """
    build = _build(spec)
    firmware = memory_map(spec, five_level=build.five_level and spec.cpu.la57)
    spans = zone_spans(spec, firmware)
    block = boot_memory(spec, build, firmware)
    state = BootState(spec, build, firmware, spans, block, _bare(spec, build, firmware, spans, block))
    tunables = _limits(state)
    early = state.managed(early=True)
    used = usage(spec, build, state.snapshot.slab_caches, state.low_pages, early)
    page_state.fill(state, used)
    _totals(state, used)
    state.snapshot.sysctl = tunables | limits.reserves(max(0, early - used.early))
    state.snapshot.log = dmesg(state, used)
    return state.snapshot


def _bare(
    spec: Spec, build: Build, firmware: MemoryMap, spans: list[list[ZoneSpan]], block: Memblock
) -> Snapshot:
    """Nodes and zones with nothing allocated yet."""
    machine = hardware(spec, build, firmware)
    blocks = _memory_blocks(firmware, machine.memory_block_bytes) if spec.kernel.has(Feature.SPARSEMEM) else 0
    return Snapshot(
        kernel=spec.kernel,
        name=spec.name,
        seed=spec.seed,
        hardware=machine,
        nodes=[_node(spec, nid, own, block) for nid, own in enumerate(spans)],
        slab_caches=slab_caches(spec.kernel, Scale(len(spec.cpus), len(spec.nodes), blocks)),
        hugepages=_huge_pages(spec, [nid for nid, memory in enumerate(firmware.node_memory) if memory]),
        default_hugepage_kbytes=spec.default_hugepage_kbytes,
        swaps=_swaps(spec),
    )


def _node(spec: Spec, nid: int, spans: list[ZoneSpan], block: Memblock) -> NodeState:
    zones = [
        ZoneState(s.name, s.start, s.end - s.start, s.present, pages(clip(block.free[nid], s.start, s.end)))
        for s in spans
    ]
    return NodeState(nid, tuple(sorted(spec.nodes[nid].cpus)), spec.distances(nid), zones)


def _memory_blocks(firmware: MemoryMap, block_bytes: int) -> int:
    size = block_bytes >> PAGE_SHIFT
    return sum(-(-b // size) - a // size for a, b in firmware.memory[1:])


def _huge_pages(spec: Spec, nids: list[int]) -> list[HugePageState]:
    """The pools of the command line, a page a node in turn (hugetlb_hstate_alloc_pages()).

    Since 6.8 each CPU takes its share of those that the buddy allocator has, without the common cursor.
    """
    states = []
    for kbytes in spec.hugepage_sizes_kbytes:
        count = spec.hugepages.pool.get(kbytes, 0)
        more = count % len(nids)
        nr = {nid: count // len(nids) + (i < more) for i, nid in enumerate(nids)}
        is_gigantic = kbytes << 10 > PAGE_SIZE << MAX_PAGE_ORDER
        in_turn = is_gigantic or not spec.kernel.has(Feature.HUGETLB_BOOT_PARALLEL)
        state = HugePageState(kbytes, nr, dict(nr), dict.fromkeys(nids, 0), max_huge_pages=count)
        state.next_nid_to_alloc = nids[more if in_turn else 0]
        states.append(state)
    return states


def _swaps(spec: Spec) -> list[SwapState]:
    """An area without a priority gets the next lower one; its first page is the header."""
    states, priority = [], FIRST_SWAP_PRIORITY
    for swap in spec.swaps:
        size = (swap.size_bytes >> PAGE_SHIFT) - 1
        given = priority if swap.priority is None else swap.priority
        states.append(SwapState(swap.name, swap.kind, size, 0, given))
        priority -= swap.priority is None
    return states


def _limits(state: BootState) -> dict[str, object]:
    late = {(span.nid, span.name): state.late(span) for span, *_ in state.zones()}
    sysctl = limits.set_up(state.spec.kernel, state.snapshot.nodes, state.snapshot.hardware, late)
    return {name: getattr(sysctl, name) for name in ("min_free_kbytes", "lowmem_reserve_ratio")}


def _totals(state: BootState, used: Usage) -> None:
    """What the snapshot counts once for the machine."""
    snapshot, spec, build = state.snapshot, state.spec, state.build
    snapshot.committed_as = build.committed
    snapshot.percpu = (build.percpu_unit + build.percpu_more) * spec.nr_possible_cpus
    snapshot.vmalloc_used = used.vmalloc
    snapshot.direct_map = direct_map(spec, state.firmware.memory, state.end)
    snapshot.nr_memmap = (0, state.block.memmap_pages)
    total, low = state.managed(early=True), state.managed(early=True, lowmem=True)
    snapshot.hardware.mounts = mounts(spec, total, low)
    snapshot.uptime_centisecs = build.uptime_centisecs
    snapshot.idle_centisecs = build.uptime_centisecs * len(spec.cpus)
    snapshot.stat = {
        "btime": BOOT_TIME,
        "processes": FORKS,
        "loadavg": LOADAVG,
        "nr_threads": used.threads,
        "last_pid": FORKS,
    }
