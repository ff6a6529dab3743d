"""The stored tunables of /proc/sys/vm, by the kernel's names; '-' becomes '_'.

Plain numbers live here with the defaults that need no arithmetic; what a write does besides
storing is `Machine.set_sysctl`. Numbers that boot computes are set by vmfs/boot.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Sysctl:
    admin_reserve_kbytes: int = 8192
    compact_unevictable_allowed: int = 1
    compaction_proactiveness: int = 20
    defrag_mode: int = 0
    dirty_background_bytes: int = 0
    dirty_background_ratio: int = 10
    dirty_bytes: int = 0
    dirty_expire_centisecs: int = 3000
    dirty_ratio: int = 20
    dirty_writeback_centisecs: int = 500
    extfrag_threshold: int = 500
    highmem_is_dirtyable: int = 0
    lowmem_reserve_ratio: list[int] = field(default_factory=list)
    min_free_kbytes: int = 1024
    user_min_free_kbytes: int = -1
    min_slab_ratio: int = 5
    min_unmapped_ratio: int = 1
    numa_stat: int = 1
    overcommit_kbytes: int = 0
    overcommit_memory: int = 0
    overcommit_ratio: int = 50
    percpu_pagelist_high_fraction: int = 0
    percpu_pagelist_fraction: int = 0
    swappiness: int = 60
    user_reserve_kbytes: int = 131072
    vfs_cache_pressure: int = 100
    watermark_boost_factor: int = 15000
    watermark_scale_factor: int = 10
    zone_reclaim_mode: int = 0
