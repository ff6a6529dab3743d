"""The memory map a PC's firmware hands over: e820 entries, and which node each address belongs to."""

from __future__ import annotations

from dataclasses import dataclass

from vmfs.boot.ranges import Range, Ranges, clip, intersect, union
from vmfs.kernel import Arch
from vmfs.mm.mmzone import PAGE_SHIFT
from vmfs.spec import Spec

PFN_4G = 1 << (32 - PAGE_SHIFT)
LOW_MEMORY: Range = (0x1, 0x9F)  # page 0 and the EBDA are not usable
LOW_END = 0x9FC00  # bytes: where the EBDA begins
HIGH_MEMORY_START = 0x100
SMALL_MACHINE_BYTES = 0xE0000000  # up to here a PC keeps all memory below 4 GiB
PHYSICAL_BITS = {True: 52, False: 46}  # MAX_PHYSMEM_BITS, with and without 5-level page tables


@dataclass(frozen=True, slots=True)
class MemoryMap:
    """Frames. `memory` is e820's usable memory, `node_memory` the same by node."""

    low_end: int  # end of the memory below 4 GiB, with what firmware keeps of it
    top: int  # end of all memory
    memory: Ranges
    node_memory: tuple[Ranges, ...]


def memory_map(spec: Spec, *, five_level: bool) -> MemoryMap:
    """Nodes follow one another from address 0; the part that a hole below 4 GiB displaces lies above.

    What the kernel cannot address is left out, as e820__end_of_ram_pfn() does.
    """
    total = spec.memory_bytes >> PAGE_SHIFT
    below = min(total, _below_4g_bytes(spec) >> PAGE_SHIFT)
    bits = 32 if spec.kernel.arch is Arch.I386 else PHYSICAL_BITS[five_level]
    limit = 1 << (bits - PAGE_SHIFT)
    addresses = clip(((0, below), (PFN_4G, PFN_4G + total - below)), 0, limit)
    reserved = spec.firmware.reserved_bytes >> PAGE_SHIFT
    usable = union([LOW_MEMORY, (HIGH_MEMORY_START, below - reserved), *addresses[1:]])
    nodes = tuple(intersect(usable, part) for part in _dealt(spec, below))
    return MemoryMap(below, usable[-1][1], usable, nodes)


def _below_4g_bytes(spec: Spec) -> int:
    given = spec.firmware.memory_below_4g_bytes
    if given is not None:
        return given
    return SMALL_MACHINE_BYTES if spec.memory_bytes < SMALL_MACHINE_BYTES else 3 << 30


def _dealt(spec: Spec, below: int) -> list[Ranges]:
    """Each node's addresses, as SRAT lists them."""
    parts: list[Ranges] = []
    start = 0
    for node in spec.nodes:
        end = start + (node.memory_bytes >> PAGE_SHIFT)
        low = (min(start, below), min(end, below))
        high = (max(start, below) - below + PFN_4G, max(end, below) - below + PFN_4G)
        parts.append(union([low, high]))
        start = end
    return parts
