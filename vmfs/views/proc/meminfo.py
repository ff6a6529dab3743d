"""/proc/meminfo, as fs/proc/meminfo.c: meminfo_proc_show() writes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmfs.kernel import Feature
from vmfs.mm import swap_state
from vmfs.mm.mmzone import Zone
from vmfs.mm.show_mem import si_mem_available
from vmfs.mm.util import commit_limit
from vmfs.mm.vmalloc import vmalloc_total_kbytes
from vmfs.mm.vmstat import Item
from vmfs.views.entry import File, top
from vmfs.views.seq import kb_line, kbytes

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

Getter = Callable[["Machine"], int]


def count_line(label: str, count: int) -> str:
    """mm/hugetlb.c: hugetlb_report_meminfo(): numbers of huge pages have no unit."""
    return f"{label + ':':<19}{count:>5}\n"


@dataclass(frozen=True, slots=True)
class Row:
    """A line: `value` in the unit that `line` prints."""

    label: str
    value: Getter
    needs: Feature = Feature.BASE
    line: Callable[[str, int], str] = kb_line


def pages(label: str, value: Getter, needs: Feature = Feature.BASE) -> Row:
    return Row(label, lambda machine: kbytes(value(machine)), needs)


def state(label: str, *items: Item, needs: Feature = Feature.BASE) -> Row:
    """The sum of counters, in pages."""
    return pages(label, lambda machine: sum(machine.global_page_state(i) for i in items), needs)


def cached_pages(machine: Machine) -> int:
    """Page cache of files; that of block devices is Buffers, swap cache stands apart."""
    file = machine.global_page_state(Item.NR_FILE_PAGES)
    swap = swap_state.total_swapcache_pages(machine)
    return max(0, file - swap - machine.buffers)


def swap_total(machine: Machine) -> int:
    return sum(area.pages for area in machine.swap_areas)


def swap_free(machine: Machine) -> int:
    return sum(area.pages - area.used for area in machine.swap_areas)


def zones_sum(value: Callable[[Zone], int], highmem: bool) -> Getter:
    """Over the zones above, or below, the direct map: si_meminfo()'s totalhigh and freehigh."""
    return lambda machine: sum(value(z) for _, z in machine.zones() if z.is_highmem is highmem)


ROWS: tuple[Row, ...] = (
    pages("MemTotal", lambda m: m.totalram_pages),
    pages("MemFree", lambda m: m.free_pages),
    pages("MemAvailable", si_mem_available),
    pages("Buffers", lambda m: m.buffers),
    pages("Cached", cached_pages),
    pages("SwapCached", lambda m: m.swapcache, Feature.SWAPCACHE_GLOBAL),
    state("SwapCached", Item.NR_SWAPCACHED, needs=Feature.NR_SWAPCACHED_PER_NODE),
    state("Active", Item.NR_ACTIVE_ANON, Item.NR_ACTIVE_FILE),
    state("Inactive", Item.NR_INACTIVE_ANON, Item.NR_INACTIVE_FILE),
    state("Active(anon)", Item.NR_ACTIVE_ANON),
    state("Inactive(anon)", Item.NR_INACTIVE_ANON),
    state("Active(file)", Item.NR_ACTIVE_FILE),
    state("Inactive(file)", Item.NR_INACTIVE_FILE),
    state("Unevictable", Item.NR_UNEVICTABLE),
    state("Mlocked", Item.NR_MLOCK),
    pages("HighTotal", zones_sum(lambda z: z.managed_pages, highmem=True), Feature.HIGHMEM),
    pages("HighFree", zones_sum(lambda z: z.free_pages, highmem=True), Feature.HIGHMEM),
    pages("LowTotal", zones_sum(lambda z: z.managed_pages, highmem=False), Feature.HIGHMEM),
    pages("LowFree", zones_sum(lambda z: z.free_pages, highmem=False), Feature.HIGHMEM),
    pages("SwapTotal", swap_total),
    pages("SwapFree", swap_free),
    Row("Zswap", lambda m: m.zswap_kbytes[0], Feature.MEMINFO_ZSWAP),
    Row("Zswapped", lambda m: m.zswap_kbytes[1], Feature.MEMINFO_ZSWAP),
    state("Dirty", Item.NR_DIRTY),
    state("Writeback", Item.NR_WRITEBACK),
    state("AnonPages", Item.NR_ANON_PAGES),
    state("Mapped", Item.NR_MAPPED),
    state("Shmem", Item.NR_SHMEM),
    state("KReclaimable", Item.NR_SLAB_RECLAIMABLE, Item.NR_KERNEL_MISC_RECLAIMABLE),
    state("Slab", Item.NR_SLAB_RECLAIMABLE, Item.NR_SLAB_UNRECLAIMABLE),
    state("SReclaimable", Item.NR_SLAB_RECLAIMABLE),
    state("SUnreclaim", Item.NR_SLAB_UNRECLAIMABLE),
    Row("KernelStack", lambda m: m.global_page_state(Item.NR_KERNEL_STACK)),  # counted in KiB
    state("PageTables", Item.NR_ZONE_PAGE_TABLE_PAGES, needs=Feature.PAGETABLES_PER_ZONE),
    state("PageTables", Item.NR_PAGE_TABLE_PAGES, needs=Feature.PAGETABLES_PER_NODE),
    state("SecPageTables", Item.NR_SEC_PAGE_TABLE_PAGES, needs=Feature.SEC_PAGETABLES),
    Row("NFS_Unstable", lambda _: 0),
    state("Bounce", Item.NR_BOUNCE),
    state("WritebackTmp", Item.NR_WRITEBACK_TEMP),
    pages("CommitLimit", commit_limit),
    pages("Committed_AS", lambda m: m.committed_as),
    Row("VmallocTotal", vmalloc_total_kbytes),
    pages("VmallocUsed", lambda m: m.vmalloc_used),
    Row("VmallocChunk", lambda _: 0),
    pages("Percpu", lambda m: m.percpu_pages),
    pages("HardwareCorrupted", lambda m: m.hwpoisoned),
    state("AnonHugePages", Item.NR_ANON_TRANSPARENT_HUGEPAGES),
    state("ShmemHugePages", Item.NR_SHMEM_HUGEPAGES),
    state("ShmemPmdMapped", Item.NR_SHMEM_PMDMAPPED),
    state("FileHugePages", Item.NR_FILE_HUGEPAGES),
    state("FilePmdMapped", Item.NR_FILE_PMDMAPPED),
    pages("CmaTotal", lambda m: sum(z.cma_pages for _, z in m.zones()), Feature.CMA),
    state("CmaFree", Item.NR_FREE_CMA, needs=Feature.CMA),
    state("Unaccepted", Item.NR_UNACCEPTED, needs=Feature.UNACCEPTED_MEMORY),
    state("Balloon", Item.NR_BALLOON_PAGES, needs=Feature.NR_BALLOON),
    state("GPUActive", Item.NR_GPU_ACTIVE, needs=Feature.NR_GPU),
    state("GPUReclaim", Item.NR_GPU_RECLAIM, needs=Feature.NR_GPU),
    Row("HugePages_Total", lambda m: m.default_hstate.nr_huge_pages, line=count_line),
    Row("HugePages_Free", lambda m: m.default_hstate.free_huge_pages, line=count_line),
    Row("HugePages_Rsvd", lambda m: m.default_hstate.resv_huge_pages, line=count_line),
    Row("HugePages_Surp", lambda m: m.default_hstate.surplus_huge_pages, line=count_line),
    Row("Hugepagesize", lambda m: m.default_hstate.size_kbytes),
    Row("Hugetlb", lambda m: sum(h.nr_huge_pages * h.size_kbytes for h in m.hstates)),
)
"""Every line but those of the direct map, in order."""


def meminfo(machine: Machine) -> str:
    shown = (row for row in ROWS if machine.kernel.has(row.needs))
    return "".join(row.line(row.label, row.value(machine)) for row in shown) + direct_map(machine)


def direct_map(machine: Machine) -> str:
    """arch/x86/mm/pat/set_memory.c: arch_report_meminfo(): the page sizes that this CPU has."""
    return "".join(kb_line(f"DirectMap{size}", kb) for size, kb in machine.direct_map.items())


DIRS = (top("/proc", File("meminfo", meminfo)),)
