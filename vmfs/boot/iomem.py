"""The resource tree of /proc/iomem: memory as firmware told it, the kernel in it, and a PC's devices."""

from __future__ import annotations

from collections.abc import Iterator

from vmfs.boot.firmware import LOW_END, PFN_4G, MemoryMap
from vmfs.boot.release import Build
from vmfs.kernel import Feature
from vmfs.mm.mmzone import PAGE_SHIFT
from vmfs.spec import Spec

Resource = tuple[int, int, int, str]
"""Depth, first and last address, name."""

PCI_END = 0xFEC00000
PCI_ABOVE_BYTES, PCI_ABOVE_ALIGN = 2 << 30, 1 << 30  # window above all memory
BAR_BYTES, PREFETCH_BYTES = 0x1000, 0x4000
FIRST_SLOT = 2
HT_HOLE = (0xFD00000000, 0xFFFFFFFFFF)  # HyperTransport's, on AMD's with 40 address bits
HT_BITS = 40


def resources(spec: Spec, build: Build, firmware: MemoryMap) -> list[Resource]:
    """Ascending, children after their parents."""
    return [
        *_below_1m(spec),
        *_low_memory(build, firmware),
        *_devices(spec, build, firmware),
        *_above_4g(spec, firmware),
    ]


def _below_1m(spec: Spec) -> Iterator[Resource]:
    yield 0, 0, 0xFFF, "Reserved"
    yield 0, 0x1000, LOW_END - 1, "System RAM"
    yield 0, LOW_END, 0x9FFFF, "Reserved"
    yield 0, 0xA0000, 0xBFFFF, "PCI Bus 0000:00"
    if spec.kernel.has(Feature.HIGHMEM):
        yield 1, 0xA0000, 0xBFFFF, "Video RAM area"
    yield 0, 0xC0000, 0xC05FF, "Video ROM"
    yield 0, 0xF0000, 0xFFFFF, "Reserved"
    yield 1, 0xF0000, 0xFFFFF, "System ROM"


def _low_memory(build: Build, firmware: MemoryMap) -> Iterator[Resource]:
    end = firmware.memory[1][1] << PAGE_SHIFT
    yield 0, 0x100000, end - 1, "System RAM"
    image = build.image
    for name in ("code", "rodata", "data", "bss"):
        first, last = getattr(image, name)
        yield 1, first, last, f"Kernel {name}"
    low_end = firmware.low_end << PAGE_SHIFT
    if end < low_end:
        yield 0, end, low_end - 1, "Reserved"


def _devices(spec: Spec, build: Build, firmware: MemoryMap) -> Iterator[Resource]:
    disks = spec.firmware.disks
    yield 0, firmware.low_end << PAGE_SHIFT, PCI_END - 1, "PCI Bus 0000:00"
    bars = PCI_END - disks * BAR_BYTES
    prefetch = bars // PREFETCH_BYTES * PREFETCH_BYTES - disks * PREFETCH_BYTES
    for slot in range(disks):
        window = prefetch + slot * PREFETCH_BYTES
        yield 1, window, window + PREFETCH_BYTES - 1, f"0000:00:{FIRST_SLOT + slot:02x}.0"
        yield 2, window, window + PREFETCH_BYTES - 1, "virtio-pci-modern" if spec.cpu.hypervisor else "nvme"
    for slot in range(disks):
        bar = bars + slot * BAR_BYTES
        yield 1, bar, bar + BAR_BYTES - 1, f"0000:00:{FIRST_SLOT + slot:02x}.0"
    yield 0, 0xFEC00000, 0xFEC003FF, "IOAPIC 0"
    yield 0, 0xFED00000, 0xFED003FF, "HPET 0"
    yield 1, 0xFED00000, 0xFED003FF, "PNP0103:00"
    if build.local_apic_resource:
        yield 0, 0xFEE00000, 0xFEE00FFF, "Local APIC"
    yield 0, 0xFFFC0000, 0xFFFFFFFF, "Reserved"


def _above_4g(spec: Spec, firmware: MemoryMap) -> Iterator[Resource]:
    if spec.kernel.has(Feature.HIGHMEM):
        return
    top = max(firmware.top, PFN_4G) << PAGE_SHIFT
    if firmware.top > PFN_4G:
        yield 0, PFN_4G << PAGE_SHIFT, top - 1, "System RAM"
    window = -(-top // PCI_ABOVE_ALIGN) * PCI_ABOVE_ALIGN
    yield 0, window, window + PCI_ABOVE_BYTES - 1, "PCI Bus 0000:00"
    if spec.cpu.physical_bits == HT_BITS and window + PCI_ABOVE_BYTES <= HT_HOLE[0]:
        yield 0, *HT_HOLE, "Reserved"
