"""The range of addresses for vmalloc (arch/x86/include/asm/pgtable_64_types.h, pgtable_32_areas.h)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmfs.kernel import Feature
from vmfs.mm.mmzone import PAGE_SHIFT

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

VMALLOC_TOTAL_KBYTES_L4 = (32 << 30) - 1  # 32 TiB; the last address is one short of the end
VMALLOC_TOTAL_KBYTES_L5 = (12800 << 30) - 1
PAGE_OFFSET_32 = 0xC0000000
VMALLOC_OFFSET_32 = 8 << 20  # the hole after the direct map
VMALLOC_END_32 = 0xFEBFE000  # below pkmap; moves a little with NR_CPUS, this is a distribution's
VMALLOC_END_PAE = 0xFEFFE000  # where pkmap has half as many entries, and ends on a border of 2 MiB, not 4


def vmalloc_total_kbytes(machine: Machine) -> int:
    """VMALLOC_TOTAL >> 10: what lies between VMALLOC_START and VMALLOC_END."""
    if machine.kernel.has(Feature.HIGHMEM):
        lowmem = max(z.end_pfn for _, z in machine.zones() if not z.is_highmem)
        start = PAGE_OFFSET_32 + (lowmem << PAGE_SHIFT) + VMALLOC_OFFSET_32
        end = VMALLOC_END_PAE if machine.kernel.has(Feature.PAE) else VMALLOC_END_32
        return (end - start) >> 10
    return VMALLOC_TOTAL_KBYTES_L5 if machine.hardware.la57 else VMALLOC_TOTAL_KBYTES_L4
