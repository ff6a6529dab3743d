"""What the kernel says of memory while it boots: the first lines of its log.

Each line is one that the release's own kernel prints on that hardware; lines about other hardware,
and those that tell how long something took, are left out. Times are those of a stage, not measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from vmfs.boot import hash_tables, limits
from vmfs.boot.firmware import PFN_4G
from vmfs.boot.memblock import SECTION
from vmfs.boot.ranges import Ranges, clip, pages, subtract
from vmfs.boot.zones import PFN_16M, max_low_pfn
from vmfs.kernel import Feature
from vmfs.mm.mmzone import MAX_PAGE_ORDER, PAGE_SHIFT, PAGE_SIZE, MigrateType
from vmfs.mm.printk import SECOND, Level
from vmfs.mm.swapfile import adding
from vmfs.mm.zonelist import fallback_order

if TYPE_CHECKING:
    from vmfs.boot.state import BootState
    from vmfs.boot.usage import Usage
    from vmfs.mm.snapshot import HugePageState

KIB = PAGE_SHIFT - 10
HUGE_BYTES = 2 << 20
POOL_SHARE = 8192  # one page of an atomic pool for so many of memory
VMEMMAP_KEPT_PAGES = 1  # of the page structs of a huge page
STRUCT_PAGE_BYTES = 64


class Line(NamedTuple):
    seconds: float
    text: str
    level: int = Level.INFO


def dmesg(state: BootState, used: Usage) -> list[tuple[int, int, str]]:
    """Microseconds, level and text of each record, up to the first user program."""
    lines = (
        *_start(state),
        *(Line(0, text) for text in _zones(state)),
        *(Line(0, text) for text in _zonelists(state)),
        *_mm_init(state, used),
        *_initcalls(state),
        *_freed(state),
    )
    return [(round(line.seconds * SECOND), line.level, line.text) for line in lines]


def _start(state: BootState) -> Iterator[Line]:
    yield Line(0, state.build.version, Level.NOTICE)
    if not state.spec.kernel.has(Feature.HIGHMEM):
        yield Line(0, f"Command line: {state.spec.cmdline}")
    if state.spec.kernel.has(Feature.NUMA) and len(state.spec.nodes) == 1:
        yield Line(0, "No NUMA configuration found")
        yield Line(0, f"Faking a node at {_range(0, state.firmware.top)}")


def _range(first: int, end: int) -> str:
    return f"[mem {first << PAGE_SHIFT:#018x}-{(end << PAGE_SHIFT) - 1:#018x}]"


def _zones(state: BootState) -> Iterator[str]:
    """free_area_init()"""
    yield "Zone ranges:"
    yield from _zone_ranges(state)
    yield "Movable zone start for each node"
    for spans in state.spans:
        yield from (
            f"  Node {z.nid}: {z.start << PAGE_SHIFT:#018x}" for z in spans if z.name == "Movable" and z.end
        )
    yield "Early memory node ranges"
    for start, end, nid in _ranges(state):
        yield f"  node {nid:>3}: {_range(start, end)}"
    for nid, memory in enumerate(state.firmware.node_memory):
        if memory:
            yield f"Initmem setup node {nid} {_range(memory[0][0], memory[-1][1])}"
    yield from _unavailable(state)


def _zone_ranges(state: BootState) -> Iterator[str]:
    kernel, top = state.spec.kernel, state.firmware.top
    first = state.firmware.memory[0][0]
    highmem = kernel.has(Feature.HIGHMEM)
    low = min(max_low_pfn(), top) if highmem else top
    ends = [("DMA", PFN_16M), *([] if highmem else [("DMA32", min(PFN_4G, low))]), ("Normal", low)]
    ends += [("HighMem", top)] if highmem else [("Device", 0)]
    for name, end in ends:
        yield f"  {name:<8} {_range(first, end)}" if end > first else f"  {name:<8} empty"
        first = max(first, end)


def _ranges(state: BootState) -> list[tuple[int, int, int]]:
    """for_each_mem_pfn_range()"""
    return sorted((a, b, nid) for nid, memory in enumerate(state.firmware.node_memory) for a, b in memory)


def _unavailable(state: BootState) -> Iterator[str]:
    """init_unavailable_range(): frames of present sections that are no memory, told with what follows."""
    unit = SECTION if state.spec.kernel.has(Feature.SPARSEMEM) else 1 << 52
    hole = 0
    for start, end, nid in _ranges(state):
        zone = next(z.name for z in state.spans[nid] if z.start <= start < z.end)
        yield from _hole(nid, zone, hole, start, unit)
        hole = end
    if state.spec.kernel.has(Feature.SPARSEMEM):
        last = next(z for z in reversed(state.spans[nid]) if z.end)
        yield from _hole(nid, last.name, hole, -(-hole // unit) * unit, unit)


def _hole(nid: int, zone: str, start: int, end: int, unit: int) -> Iterator[str]:
    behind = min(-(-start // unit) * unit, end) if start % unit else start
    before = max(end // unit * unit, behind)
    count = behind - start + end - before if start % unit or start else end
    if start < end and count:
        yield f"On node {nid}, zone {zone}: {count} pages in unavailable ranges"


def _zonelists(state: BootState) -> Iterator[str]:
    """build_all_zonelists()"""
    kernel = state.spec.kernel
    nodes = [limits.early_node(node, {}) for node in state.snapshot.nodes]
    if kernel.has(Feature.BOOT_FALLBACK_ORDER) and kernel.has(Feature.NUMA):
        for nid, order in fallback_order(nodes).items():
            yield f"Fallback order for Node {nid}: {''.join(f'{node.nid} ' for node in order)}"
    total = _vm_total_pages(state)
    mobility = "on" if total >= len(MigrateType) << kernel.pageblock_order else "off"
    yield f"Built {len(nodes)} zonelists, mobility grouping {mobility}.  Total pages: {total}"
    if kernel.has(Feature.NUMA):
        populated = {span.name for span, *_ in state.zones() if span.memory}
        yield f"Policy zone: {next(n for n in ('Normal', 'DMA32', 'DMA') if n in populated)}"


def _vm_total_pages(state: BootState) -> int:
    """nr_free_zone_pages(), which before 6.12 had lost the memmap of each zone by now."""
    present = pages(state.firmware.memory)
    if state.spec.kernel.has(Feature.BOOT_MEMORY_LATE):
        return present
    size = state.build.struct_page_bytes
    low = [span for span, *_ in state.zones() if span.memory and span.name != "HighMem"]
    memmap = sum(-(-_memmap_frames(z.start, z.end, z.present) * size // PAGE_SIZE) for z in low)
    first, last = state.build.low_reserved
    reserved = (
        pages(clip(state.firmware.memory, first, last + 1)) if state.spec.kernel.has(Feature.NUMA) else 0
    )
    return present - memmap - reserved


def _memmap_frames(start: int, end: int, present: int) -> int:
    """calc_memmap_size()"""
    spanned = end - start
    return present if spanned > present + (present >> 4) else spanned


def _mm_init(state: BootState, used: Usage) -> Iterator[Line]:
    kernel, spec = state.spec.kernel, state.spec
    one_node = len(spec.nodes) == 1
    yield Line(0, f"Kernel command line: {spec.cmdline}", Level.NOTICE)
    if one_node:
        yield from (Line(0, text) for text in _hash_tables(state, early=True))
    stack = "all(zero)" if kernel.has(Feature.STACK_AUTO_INIT) else "off"
    yield Line(0, f"mem auto-init: stack:{stack}, heap alloc:on, heap free:off")
    if not kernel.has(Feature.BOOT_MEMORY_LATE):
        yield Line(0, _memory(state, _free_early(state), _alternatives(state)))
    cpus = f"CPUs={spec.nr_possible_cpus}, Nodes={len(spec.nodes)}"
    yield Line(0, f"SLUB: HWalign=64, Order=0-3, MinObjects=0, {cpus}")
    if kernel.has(Feature.NUMA) and not one_node:
        how = "Configure with numa_balancing= or the kernel.numa_balancing sysctl"
        yield Line(0, f"mempolicy: Enabling automatic NUMA balancing. {how}")
    late = state.build.image.alternatives_late
    if state.build.image.alternatives_kbytes:
        yield Line(0.95 if late else 0.4, f"Freeing SMP alternatives memory: {_alternatives(state) << KIB}K")
    if not one_node:
        yield from (Line(0.4, text) for text in _hash_tables(state, early=True))
    yield from (Line(0.4, text) for text in _hash_tables(state, early=False))
    if kernel.has(Feature.BOOT_MEMORY_LATE):
        # About half of those who take memory before the reserves are computed have come by now.
        reserved = _alternatives(state) if late else 0
        yield Line(0.9, _memory(state, state.managed(early=True) - reserved - used.early // 2, reserved))


def _alternatives(state: BootState) -> int:
    return state.build.image.alternatives_kbytes >> KIB


def _memory(state: BootState, free: int, still_reserved: int) -> str:
    """mem_init_print_info(): `still_reserved` pages are freed before the watermarks are set up."""
    image = state.build.image
    parts = {
        "kernel code": image.code[1] + 1 - image.code[0],
        "rwdata": image.data[1] + 1 - image.data[0],
        "rodata": image.rodata[1] + 1 - image.rodata[0],
        "init": image.init_kbytes << 10,
        "bss": image.bss[1] + 1 - image.bss[0],
    }
    present = pages(state.firmware.memory)
    reserved = present - state.managed(early=True) + still_reserved
    sizes = ", ".join(f"{size >> 10}K {name}" for name, size in parts.items())
    highmem = sum(span.present for span, *_ in state.zones() if span.name == "HighMem")
    tail = f", {highmem << KIB}K highmem" if state.spec.kernel.has(Feature.HIGHMEM) else ""
    return (
        f"Memory: {free << KIB}K/{present << KIB}K available "
        f"({sizes}, {reserved << KIB}K reserved, 0K cma-reserved{tail})"
    )


def _free_early(state: BootState) -> int:
    """What is free before the rest of each node's highest zone is initialised (defer_init())."""
    free = state.managed(early=True) - _alternatives(state)
    if state.spec.kernel.has(Feature.HIGHMEM):
        return free
    return free - sum(pages(_deferred(state, nid)) for nid in state.with_memory)


def _deferred(state: BootState, nid: int) -> Ranges:
    span = next(z for z in reversed(state.spans[nid]) if z.end)
    first, seen = span.end, 0
    for start, end in span.memory:
        aligned = -(-(start + max(SECTION - seen, 0)) // SECTION) * SECTION
        if aligned < end:
            first = aligned
            break
        seen += end - start
    return clip(subtract(state.block.free[nid], state.block.late), first, span.end)


def _hash_tables(state: BootState, *, early: bool) -> Iterator[str]:
    """alloc_large_system_hash() of the VFS."""
    kernel = state.spec.kernel
    for table in hash_tables.TABLES:
        if table.early is early and table.name.split()[0].lower().startswith(("dentry", "inode", "mount")):
            entries = hash_tables.entries(table, state.low_pages, len(state.spec.cpus))
            bucket = 4 if kernel.has(Feature.HIGHMEM) else table.bucket_bytes
            size = max(entries * bucket, PAGE_SIZE)
            order = (-(-size // PAGE_SIZE) - 1).bit_length()
            told = f"order: {order}, {entries * bucket} bytes, {_where(state, size)}"
            yield f"{table.name} hash table entries: {entries} ({told})"


def _where(state: BootState, size: int) -> str:
    nodes = len(state.with_memory)
    if len(state.spec.nodes) == 1:
        return "linear"
    kernel = state.spec.kernel
    share = size if kernel.has(Feature.VMALLOC_HUGE_WHOLE) else size // nodes
    huge = kernel.has(Feature.VMALLOC_HUGE) and share >= HUGE_BYTES
    return "vmalloc hugepage" if huge else "vmalloc"


def _initcalls(state: BootState) -> Iterator[Line]:
    kernel = state.spec.kernel
    if not kernel.has(Feature.HIGHMEM):
        order = min((state.managed(early=True) // POOL_SHARE - 1).bit_length(), MAX_PAGE_ORDER)
        kib = max(1 << order + KIB, 128)
        for flags in ("GFP_KERNEL", "GFP_KERNEL|GFP_DMA", "GFP_KERNEL|GFP_DMA32"):
            yield Line(1.0, f"DMA: preallocated {kib} KiB {flags} pool for atomic allocations")
    for pool in state.snapshot.hugepages:
        yield from (Line(1.1, text) for text in _huge_pages(state, pool))


def _huge_pages(state: BootState, pool: HugePageState) -> Iterator[str]:
    """report_hugepages()"""
    kernel, size = state.spec.kernel, _size(pool.size_kbytes)
    prefix = "HugeTLB:" if kernel.has(Feature.HUGETLB_PREFIX) else "HugeTLB"
    yield f"{prefix} registered {size} page size, pre-allocated {sum(pool.nr.values())} pages"
    if kernel.has(Feature.HUGETLB_PREFIX):
        structs = (pool.size_kbytes >> KIB) * state.build.struct_page_bytes // PAGE_SIZE
        whole = state.build.struct_page_bytes == STRUCT_PAGE_BYTES
        freed = structs - VMEMMAP_KEPT_PAGES if whole else 0
        yield f"HugeTLB: {freed << KIB} KiB vmemmap can be freed for a {size} page"


def _size(kbytes: int) -> str:
    """string_get_size()"""
    return f"{kbytes >> 20}.00 GiB" if kbytes >> 20 else f"{kbytes >> 10}.00 MiB"


def _freed(state: BootState) -> Iterator[Line]:
    image = state.build.image
    gaps = (("text/rodata", image.code, image.rodata), ("rodata/data", image.rodata, image.data))
    yield Line(1.5, f"Freeing initrd memory: {state.build.initrd_kbytes}K")
    if state.spec.kernel.has(Feature.BOOT_DEMOTION_TARGETS):
        yield from (Line(2.0, f"Demotion targets for Node {nid}: null") for nid in state.with_memory)
    if image.decrypted_kbytes:
        yield Line(2.2, f"Freeing unused decrypted memory: {image.decrypted_kbytes}K")
    yield Line(2.2, f"Freeing unused kernel image (initmem) memory: {image.init_kbytes}K")
    for name, before, after in gaps:
        kib = (after[0] - (-(-(before[1] + 1) // PAGE_SIZE) * PAGE_SIZE)) >> 10
        if kib > 0 and not state.spec.kernel.has(Feature.HIGHMEM):
            yield Line(2.2, f"Freeing unused kernel image ({name} gap) memory: {kib}K")
    for area in state.snapshot.swaps:
        yield Line(state.build.uptime_centisecs / 100, adding(state.spec.kernel, area))
