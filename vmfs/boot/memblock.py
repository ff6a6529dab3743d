"""What boot takes before there is a page allocator, and so what zones manage (mm/memblock.c).

Memory goes from the top of a node down, as memblock hands it out. The frames of one purpose are
one range here; the kernel leaves small gaps between them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from vmfs.boot import hash_tables
from vmfs.boot.firmware import PFN_4G, MemoryMap
from vmfs.boot.ranges import Range, Ranges, clip, pages, subtract, union
from vmfs.boot.release import Build
from vmfs.boot.zones import max_low_pfn
from vmfs.kernel import Arch, Feature
from vmfs.mm import printk
from vmfs.mm.mmzone import MAX_PAGE_ORDER, PAGE_SHIFT, PAGE_SIZE
from vmfs.spec import Spec, SpecError

SECTION = 1 << (27 - PAGE_SHIFT)
SECTIONS_PER_ROOT = 128
SECTION_USAGE_BYTES = 56
HUGE = 512
SWIOTLB = 16384  # 64 MiB of bounce buffers where some memory is above 4 GiB
SWIOTLB_SLOTS = 32768
FIRST_NODE = 2
INITRD_GAP = 0x30  # between the initrd and the end of low memory: the BIOS' ACPI tables


@dataclass(slots=True)
class Memblock:
    """Free ranges of each node; what is `late` is freed again after the watermarks are set up."""

    free: list[Ranges]
    late: Ranges = ()
    memmap_pages: int = 0
    reserved: list[Range] = field(default_factory=list)

    def alloc(self, count: int, nids: list[int], end: int = 1 << 52, align: int = 1) -> None:
        """The highest range that fits, in the first of the nodes that has one."""
        for nid in nids:
            for first, last in reversed(clip(self.free[nid], 0, end)):
                start = (last - count) // align * align
                if start >= first:
                    self.reserve((start, start + count))
                    return
        wanted = f"too little for the {count} pages that the kernel reserves at boot"
        raise SpecError(f"node {nids[0]}: memory: {wanted}; accepted: more")

    def reserve(self, taken: Range) -> None:
        self.free = [subtract(ranges, [taken]) for ranges in self.free]
        self.reserved.append(taken)

    def release(self, ranges: Ranges, memory: tuple[Ranges, ...]) -> None:
        """Back to the free ranges, as far as it is memory."""
        for nid, own in enumerate(memory):
            self.free[nid] = union([*self.free[nid], *(p for a, b in ranges for p in clip(own, a, b))])


def boot_memory(spec: Spec, build: Build, firmware: MemoryMap) -> Memblock:
    """Everything reserved when the page allocator takes over, with the late parts given back."""
    block = Memblock(list(firmware.node_memory))
    highmem = spec.kernel.has(Feature.HIGHMEM)
    end = max_low_pfn() if highmem else 1 << 52
    block.reserve((build.low_reserved[0], build.low_reserved[1] + 1))
    image, freed = _image(build)
    block.reserve(image)
    initrd = _initrd(build, min(firmware.low_end - INITRD_GAP, max_low_pfn() if highmem else PFN_4G))
    block.reserve(initrd)
    # Memory that could be unplugged is left alone (movable_node).
    nids = [nid for nid, memory in enumerate(firmware.node_memory) if memory and not spec.nodes[nid].movable]
    block.alloc(build.early, nids, min(image[1] + (64 << 8), PFN_4G))
    _node_structures(spec, build, firmware, block, nids, end)
    _last_node(spec, build, firmware, block, nids[::-1], end)
    early, late = freed
    block.release(early, firmware.node_memory)
    block.late = union([*late, initrd])
    block.release(block.late, firmware.node_memory)
    return block


def _pfn(address: int) -> int:
    return -(-address // PAGE_SIZE)


def _image(build: Build) -> tuple[Range, tuple[Ranges, Ranges]]:
    """The kernel's frames; those it frees before the watermarks are set up, and after."""
    image = build.image
    bss, kib = _pfn(image.bss[0]), PAGE_SIZE >> 10
    init = bss - image.init_kbytes // kib
    alternatives = (init - image.alternatives_kbytes // kib, init)
    aligned = -(-bss // HUGE) * HUGE + HUGE
    decrypted = (aligned - image.decrypted_kbytes // kib, aligned) if image.decrypted_kbytes else (0, 0)
    gaps = [(_pfn(a[1] + 1), _pfn(b[0])) for a, b in ((image.code, image.rodata), (image.rodata, image.data))]
    late = union([*gaps, (init, bss), decrypted])
    return (_pfn(image.code[0]), _pfn(image.bss[1] + 1)), ((alternatives,), late)


def _initrd(build: Build, end: int) -> Range:
    return end - build.initrd_kbytes * 1024 // PAGE_SIZE, end


def _node_structures(
    spec: Spec, build: Build, firmware: MemoryMap, block: Memblock, nids: list[int], end: int
) -> None:
    """The node's own struct, its memmap with the tables around it, and its CPUs' variables."""
    for nid in (nid for nid, memory in enumerate(firmware.node_memory) if memory):
        others = [nid, *nids] if nid in nids else nids
        block.alloc(build.node_data, others, end)
        count = _memmap_pages(spec, build, firmware, nid)
        block.alloc(count, others, end, HUGE if spec.kernel.has(Feature.SPARSEMEM) else 1)
        block.memmap_pages += count
        if spec.kernel.has(Feature.SPARSEMEM):
            block.alloc(_section_pages(firmware, nid), others, end)
    for nid, node in enumerate(spec.nodes):
        if node.cpus:
            others = [nid, *nids] if nid in nids else nids
            block.alloc(build.percpu_unit * len(node.cpus), others, end)
    absent = spec.nr_possible_cpus - len(spec.cpus)
    if absent:
        block.alloc(build.percpu_unit * absent, nids, end)


def _memmap_pages(spec: Spec, build: Build, firmware: MemoryMap, nid: int) -> int:
    """The struct page of all frames: of present sections, or from 0 to the end where memory is flat."""
    memory = firmware.node_memory[nid]
    if not spec.kernel.has(Feature.SPARSEMEM):
        block = 1 << MAX_PAGE_ORDER
        return -(-memory[-1][1] // block) * block * build.struct_page_bytes // PAGE_SIZE
    return pages(_sections(memory)) * SECTION * build.struct_page_bytes // PAGE_SIZE


def _section_pages(firmware: MemoryMap, nid: int) -> int:
    """Usage maps of its sections; roots and page tables of the memmap, where no node before began them."""
    usage = pages(_sections(firmware.node_memory[nid])) * SECTION_USAGE_BYTES // PAGE_SIZE
    before = max((memory[-1][1] for memory in firmware.node_memory[:nid] if memory), default=0)
    end = firmware.node_memory[nid][-1][1]
    begun = (-(-end // (SECTION * n)) - -(-before // (SECTION * n)) for n in (SECTIONS_PER_ROOT, HUGE))
    return usage + sum(begun)


def _sections(memory: Ranges) -> Ranges:
    return union((a // SECTION, -(-b // SECTION)) for a, b in memory)


def _last_node(
    spec: Spec, build: Build, firmware: MemoryMap, block: Memblock, nids: list[int], end: int
) -> None:
    """What belongs to no node comes from the top of memory; a little stays with the CPU that boots."""
    if spec.kernel.has(Feature.SPARSEMEM):
        block.alloc(FIRST_NODE, nids[::-1])
        bits = 52 if build.five_level and spec.cpu.la57 else 46
        block.alloc((1 << (bits - 27)) // SECTIONS_PER_ROOT * 8 // PAGE_SIZE, nids)
        if firmware.top > PFN_4G:
            below = [nid for nid in nids if clip(block.free[nid], 0, PFN_4G)]
            block.alloc(SWIOTLB, below, PFN_4G)
            slots = SWIOTLB_SLOTS * build.swiotlb_slot_bytes // PAGE_SIZE
            block.alloc(slots + build.swiotlb_areas, nids)
    block.alloc(build.memblock + _log_buffer(spec, build), nids, end)
    if len(spec.nodes) == 1:
        low = pages(clip(firmware.memory, 0, end)) - block.memmap_pages
        block.alloc(hash_tables.table_pages(spec.kernel, low, len(spec.cpus), early=True), nids, end)


def _log_buffer(spec: Spec, build: Build) -> int:
    """setup_log_buf(): a larger ring than the one in the image, with its descriptors."""
    size = printk.Log.of(spec.nr_possible_cpus).size_bytes
    if size == printk.LOG_BUF_BYTES:
        return 0
    word = 8 if spec.kernel.arch is Arch.X86_64 else 4
    descriptor = 3 * word + build.printk_info_bytes
    return _pfn(size + size // printk.RECORD_BYTES * descriptor)
