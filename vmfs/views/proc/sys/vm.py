"""/proc/sys/vm: one row a file (kernel/sysctl.c: vm_table and the tables of mm/)."""

from __future__ import annotations

from errno import EINVAL
from typing import TYPE_CHECKING

from vmfs.kernel import Feature
from vmfs.mm.hugetlb import may_overcommit
from vmfs.mm.mmzone import PAGE_SIZE
from vmfs.views.codec import Bool, Either, Ignored, Int, Jiffies, LowmemReserveRatio, Parsed, ULong, Write
from vmfs.views.entry import File, top
from vmfs.views.kstrtox import c_string
from vmfs.views.tunable import action, fail, sysctl_write, tunable

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

FRACTION = Int(0, refused=range(1, 8))
"""percpu_pagelist_(high_)fraction: 0 for off, or at least MIN_PERCPU_PAGELIST_HIGH_FRACTION."""


class CompactMemory(Int):
    """mm/compaction.c: sysctl_compaction_handler(): any number is stored, all but 1 are refused."""

    def parse(self, write: Write, old: int) -> Parsed[int]:
        parsed = super().parse(write, old)
        errno = parsed.errno or (0 if parsed.value == 1 else EINVAL)
        return Parsed(parsed.value, parsed.consumed, errno)


def read_nr_hugepages(machine: Machine) -> str:
    """The persistent pages of the default size, unlike the file of the same name in sysfs."""
    return f"{machine.default_hstate.max_huge_pages}\n"


def write_nr_hugepages(machine: Machine, data: bytes, offset: int) -> int:
    """mm/hugetlb.c: hugetlb_sysctl_handler_common(); fewer pages than asked for is a success."""
    hstate = machine.default_hstate
    parsed = _hugepages(machine, "nr_hugepages", data, offset, hstate.max_huge_pages)
    machine.set_nr_hugepages(hstate, parsed.value)
    return parsed.consumed


def read_nr_overcommit_hugepages(machine: Machine) -> str:
    return f"{machine.default_hstate.nr_overcommit_huge_pages}\n"


def write_nr_overcommit_hugepages(machine: Machine, data: bytes, offset: int) -> int:
    """mm/hugetlb.c: hugetlb_overcommit_handler()."""
    hstate = machine.default_hstate
    if not may_overcommit(machine, hstate):
        raise fail(EINVAL)
    parsed = _hugepages(machine, "nr_overcommit_hugepages", data, offset, hstate.nr_overcommit_huge_pages)
    machine.set_nr_overcommit_hugepages(hstate, parsed.value)
    return parsed.consumed


def _hugepages(machine: Machine, name: str, data: bytes, offset: int, old: int) -> Parsed[int]:
    parsed = ULong().parse(sysctl_write(machine, name, data, offset), old)
    if parsed.errno:
        raise fail(parsed.errno)
    return parsed


def write_numa_zonelist_order(machine: Machine, data: bytes, _offset: int) -> int:
    """mm/page_alloc.c: __parse_numa_zonelist_order(): only the node order is left, whatever is written."""
    if data[:1] not in {b"d", b"D", b"n", b"N"}:
        value = c_string(data).decode(errors="surrogateescape")
        machine.warn(f"Ignoring unsupported numa_zonelist_order value:  {value}\n")
        raise fail(EINVAL)
    return len(data)


def write_stat_refresh(_machine: Machine, data: bytes, _offset: int) -> int:
    """mm/vmstat.c: vmstat_refresh(); the counters here are exact at any time, nothing is to be folded."""
    return len(data)


BOOL = Int(0, 1)
COUNT = Int(0)
PERCENT = Int(0, 100)
NUMA_ZONELIST_ORDER: File[Machine] = File(
    "numa_zonelist_order", lambda _: "Node\n", write_numa_zonelist_order, needs=Feature.NUMA, string=True
)
RND_BITS = Either(Feature.HIGHMEM, Int(8, 16), Int(28, 32))

DIRS = (
    top(
        "/proc/sys/vm",
        tunable("admin_reserve_kbytes", ULong()),
        tunable("block_dump", COUNT, needs=Feature.BLOCK_DUMP),
        action("compact_memory", Either(Feature.COMPACT_MEMORY_CHECKED, CompactMemory(), Ignored())),
        tunable("compact_unevictable_allowed", BOOL),
        tunable("compaction_proactiveness", PERCENT),
        tunable("defrag_mode", BOOL, needs=Feature.DEFRAG_MODE),
        tunable("dirty_background_bytes", ULong(1)),
        tunable("dirty_background_ratio", PERCENT),
        tunable("dirty_bytes", ULong(2 * PAGE_SIZE)),
        tunable("dirty_expire_centisecs", COUNT),
        tunable("dirty_ratio", PERCENT),
        tunable("dirty_writeback_centisecs", Int()),
        tunable("dirtytime_expire_seconds", COUNT),
        action("drop_caches", Int(1, 4)),
        tunable("enable_soft_offline", BOOL, needs=Feature.ENABLE_SOFT_OFFLINE),
        tunable("extfrag_threshold", Int(0, 1000)),
        tunable("highmem_is_dirtyable", BOOL, needs=Feature.HIGHMEM),
        tunable("hugetlb_optimize_vmemmap", Bool(), needs=Feature.HUGETLB_OPTIMIZE_VMEMMAP),
        tunable("hugetlb_shm_group", Int()),
        tunable("laptop_mode", Jiffies()),
        tunable("legacy_va_layout", COUNT),
        tunable("lowmem_reserve_ratio", LowmemReserveRatio()),
        tunable("max_map_count", COUNT),
        tunable("memfd_noexec", Int(0, 2), needs=Feature.MEMFD_NOEXEC),
        tunable("memory_failure_early_kill", BOOL),
        tunable("memory_failure_recovery", BOOL),
        tunable("min_free_kbytes", COUNT),
        tunable("min_slab_ratio", PERCENT, needs=Feature.NUMA),
        tunable("min_unmapped_ratio", PERCENT, needs=Feature.NUMA),
        tunable("mmap_min_addr", ULong()),
        tunable("mmap_rnd_bits", RND_BITS, mode=0o600),
        tunable("mmap_rnd_compat_bits", Int(8, 16), mode=0o600, needs=Feature.MMAP_RND_COMPAT_BITS),
        tunable("movable_gigantic_pages", Int(), needs=Feature.MOVABLE_GIGANTIC_PAGES),
        File("nr_hugepages", read_nr_hugepages, write_nr_hugepages),
        File("nr_hugepages_mempolicy", read_nr_hugepages, write_nr_hugepages, needs=Feature.NUMA),
        File("nr_overcommit_hugepages", read_nr_overcommit_hugepages, write_nr_overcommit_hugepages),
        tunable("numa_stat", BOOL, needs=Feature.NUMA),
        NUMA_ZONELIST_ORDER,
        tunable("oom_dump_tasks", Int()),
        tunable("oom_kill_allocating_task", Int()),
        tunable("overcommit_kbytes", ULong()),
        tunable("overcommit_memory", Int(0, 2)),
        tunable("overcommit_ratio", Int()),
        tunable("page-cluster", Either(Feature.PAGE_CLUSTER_LIMITED, Int(0, 31), COUNT)),
        tunable("page_lock_unfairness", COUNT),
        tunable("panic_on_oom", Int(0, 2)),
        tunable("percpu_pagelist_fraction", FRACTION, needs=Feature.PERCPU_PAGELIST_FRACTION),
        tunable("percpu_pagelist_high_fraction", FRACTION, needs=Feature.PERCPU_PAGELIST_HIGH_FRACTION),
        tunable("stat_interval", Jiffies()),
        File("stat_refresh", lambda _: "", write_stat_refresh, 0o600),
        tunable("swappiness", Int(0, 200)),
        tunable("unprivileged_userfaultfd", BOOL),
        tunable("user_reserve_kbytes", ULong()),
        tunable("vdso_enabled", Int(), needs=Feature.VDSO_ENABLED),
        tunable("vfs_cache_pressure", COUNT),
        tunable("vfs_cache_pressure_denom", Int(100), needs=Feature.VFS_CACHE_PRESSURE_DENOM),
        tunable("watermark_boost_factor", COUNT),
        tunable("watermark_scale_factor", Int(1, 3000)),
        tunable("zone_reclaim_mode", COUNT, needs=Feature.NUMA),
    ),
)
