"""The stored tunables of /proc/sys, by the names of their files; '-' becomes '_'.

One flat table, as the kernel's variables are; a name that two directories share carries its
directory in front. What a write does besides storing is in mm/settings.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import log2
from typing import Any

from vmfs.kernel import Feature, Kernel
from vmfs.mm.mmzone import PAGE_SHIFT, PAGE_SIZE
from vmfs.mm.snapshot import Snapshot

MSEC = 1_000_000  # nanoseconds


@dataclass(slots=True)
class Sysctl:
    """The defaults are those that need neither arithmetic nor a look at the release: see `of`."""

    # vm
    admin_reserve_kbytes: int = 8192
    block_dump: int = 0
    compact_memory: int = 0  # the last number written; so is drop_caches
    compact_unevictable_allowed: int = 1
    compaction_proactiveness: int = 20
    defrag_mode: int = 0
    dirty_background_bytes: int = 0
    dirty_background_ratio: int = 10
    dirty_bytes: int = 0
    dirty_expire_centisecs: int = 3000
    dirty_ratio: int = 20
    dirty_writeback_centisecs: int = 500
    dirtytime_expire_seconds: int = 43200
    drop_caches: int = 0
    drop_caches_quietly: bool = False  # since a 4 was written; no file shows it
    enable_soft_offline: int = 1
    extfrag_threshold: int = 500
    highmem_is_dirtyable: int = 0
    hugetlb_optimize_vmemmap: int = 0
    hugetlb_shm_group: int = 0
    laptop_mode: int = 0  # seconds
    legacy_va_layout: int = 0
    lowmem_reserve_ratio: list[int] = field(default_factory=list)
    max_map_count: int = 65530
    memfd_noexec: int = 0
    memory_failure_early_kill: int = 0
    memory_failure_recovery: int = 1
    min_free_kbytes: int = 1024
    min_slab_ratio: int = 5
    min_unmapped_ratio: int = 1
    mmap_min_addr: int = 65536
    mmap_rnd_bits: int = 28
    mmap_rnd_compat_bits: int = 8
    movable_gigantic_pages: int = 0
    numa_stat: int = 1
    oom_dump_tasks: int = 1
    oom_kill_allocating_task: int = 0
    overcommit_kbytes: int = 0
    overcommit_memory: int = 0
    overcommit_ratio: int = 50
    page_cluster: int = 3
    page_lock_unfairness: int = 5
    panic_on_oom: int = 0
    percpu_pagelist_fraction: int = 0
    percpu_pagelist_high_fraction: int = 0
    stat_interval: int = 1  # seconds
    stat_refresh: int = 0  # holds nothing
    swappiness: int = 60
    unprivileged_userfaultfd: int = 0
    user_min_free_kbytes: int = -1  # the last one written; no file shows it
    user_reserve_kbytes: int = 131072
    vdso_enabled: int = 1
    vfs_cache_pressure: int = 100
    vfs_cache_pressure_denom: int = 100
    watermark_boost_factor: int = 15000
    watermark_scale_factor: int = 10
    zone_reclaim_mode: int = 0

    # kernel
    acct: list[int] = field(default_factory=lambda: [4, 2, 30])
    acpi_video_flags: int = 0
    apparmor_display_secid_mode: int = 0
    apparmor_restrict_unprivileged_unconfined: int = 0
    auto_msgmni: int = 0
    bootloader_type: int = 114
    bootloader_version: int = 2
    bpf_stats_enabled: int = 0
    cad_pid: int = 1
    core_file_note_size_limit: int = 4 << 20
    core_pattern: str = "core"
    core_pipe_limit: int = 0
    core_sort_vma: int = 0
    core_uses_pid: int = 0
    ctrl_alt_del: int = 1
    dmesg_restrict: int = 1
    domainname: str = "(none)"
    ftrace_dump_on_oops: int = 0
    ftrace_dump_on_oops_text: str = "0"  # a list of instances since 6.12
    ftrace_enabled: int = 1
    hardlockup_all_cpu_backtrace: int = 0
    hardlockup_panic: int = 0
    hardlockup_sys_info: str = ""
    hostname: str = "(none)"
    hung_task_all_cpu_backtrace: int = 0
    hung_task_check_count: int = 4194304
    hung_task_check_interval_secs: int = 0
    hung_task_detect_count: int = 0
    hung_task_panic: int = 0
    hung_task_sys_info: str = ""
    hung_task_timeout_secs: int = 120
    hung_task_warnings: int = 10
    io_delay_type: int = 0
    io_uring_disabled: int = 0
    io_uring_group: int = -1
    kernel_sys_info: str = ""
    kexec_load_disabled: int = 0
    kexec_load_limit_panic: int = -1
    kexec_load_limit_reboot: int = -1
    kptr_restrict: int = 0
    max_lock_depth: int = 1024
    max_rcu_stall_to_panic: int = 0
    modprobe: str = "/sbin/modprobe"
    modules_disabled: int = 0
    msg_next_id: int = -1
    msgmax: int = 8192
    msgmnb: int = 16384
    msgmni: int = 32000
    nmi_watchdog: int = 0
    numa_balancing: int = 0
    numa_balancing_promote_rate_limit_MBps: int = 65536  # noqa: N815  # the file's name
    numa_balancing_scan_delay_ms: int = 1000
    numa_balancing_scan_period_max_ms: int = 60000
    numa_balancing_scan_period_min_ms: int = 1000
    numa_balancing_scan_size_mb: int = 256
    oops_all_cpu_backtrace: int = 0
    oops_limit: int = 10000
    overflowgid: int = 65534
    overflowuid: int = 65534
    panic: int = 0
    panic_on_io_nmi: int = 0
    panic_on_oops: int = 0
    panic_on_rcu_stall: int = 0
    panic_on_unrecovered_nmi: int = 0
    panic_on_warn: int = 0
    panic_print: int = 0
    panic_sys_info: str = ""
    perf_cpu_time_max_percent: int = 25
    perf_event_max_contexts_per_stack: int = 8
    perf_event_max_sample_rate: int = 100000
    perf_event_max_stack: int = 127
    perf_event_mlock_kb: int = 516
    perf_event_paranoid: int = 3
    pid_max: int = 32768
    poweroff_cmd: str = "/sbin/poweroff"
    print_fatal_signals: int = 0
    printk: list[int] = field(default_factory=lambda: [4, 4, 1, 7])
    printk_delay: int = 0
    printk_devkmsg: str = "ratelimit"
    printk_ratelimit: int = 5  # seconds
    printk_ratelimit_burst: int = 10
    randomize_va_space: int = 2
    real_root_dev: int = 0
    sched_autogroup_enabled: int = 1
    sched_cfs_bandwidth_slice_us: int = 5000
    sched_child_runs_first: int = 0
    sched_deadline_period_max_us: int = 4194304
    sched_deadline_period_min_us: int = 100
    sched_energy_aware: int = 1
    sched_latency_ns: int = 6 * MSEC
    sched_migration_cost_ns: int = 500_000
    sched_min_granularity_ns: int = 750_000
    sched_nr_migrate: int = 32
    sched_rr_timeslice_ms: int = 100
    sched_rt_period_us: int = 1_000_000
    sched_rt_runtime_us: int = 950_000
    sched_schedstats: int = 0
    sched_tunable_scaling: int = 1
    sched_util_clamp_max: int = 1024
    sched_util_clamp_min: int = 1024
    sched_util_clamp_min_rt_default: int = 1024
    sched_wakeup_granularity_ns: int = MSEC
    sem: list[int] = field(default_factory=lambda: [32000, 1024000000, 500, 32000])
    sem_next_id: int = -1
    shm_next_id: int = -1
    shm_rmid_forced: int = 0
    shmall: int = (1 << 64) - 1 - (1 << 24)
    shmmax: int = (1 << 64) - 1 - (1 << 24)
    shmmni: int = 4096
    soft_watchdog: int = 1
    softlockup_all_cpu_backtrace: int = 0
    softlockup_panic: int = 0
    softlockup_sys_info: str = ""
    split_lock_mitigate: int = 1
    stack_tracer_enabled: int = 0
    sysctl_writes_strict: int = 1
    sysrq: int = 438
    tainted: int = 0
    task_delayacct: int = 0
    threads_max: int = 0
    timer_migration: int = 1
    traceoff_on_warning: int = 0
    tracepoint_printk: int = 0
    unknown_nmi_panic: int = 0
    unprivileged_bpf_disabled: int = 2
    unprivileged_userns_apparmor_policy: int = 1
    unprivileged_userns_clone: int = 1
    warn_limit: int = 0
    watchdog: int = 1
    watchdog_cpumask: list[int] = field(default_factory=list)
    watchdog_thresh: int = 10

    # fs
    aio_max_nr: int = 65536
    dentry_negative: int = 0
    dir_notify_enable: int = 1
    file_max: int = 8192
    fs_overflowgid: int = 65534
    fs_overflowuid: int = 65534
    lease_break_time: int = 45
    leases_enable: int = 1
    mount_max: int = 100000
    nr_open: int = 1 << 20
    pipe_max_size: int = 1 << 20
    pipe_user_pages_hard: int = 0
    pipe_user_pages_soft: int = 16384
    protected_fifos: int = 0
    protected_hardlinks: int = 0
    protected_regular: int = 0
    protected_symlinks: int = 0
    suid_dumpable: int = 0

    @classmethod
    def of(cls, snapshot: Snapshot) -> Sysctl:
        """What boot leaves on this kernel and hardware, overridden by what the snapshot says."""
        values = by_kernel(snapshot.kernel) | by_hardware(snapshot) | snapshot.sysctl
        return cls(**values)


def by_kernel(kernel: Kernel) -> dict[str, Any]:
    """Defaults that changed with a release or differ by architecture."""
    values: dict[str, Any] = {}
    if kernel.has(Feature.UNPRIVILEGED_USERFAULTFD_ON):
        values["unprivileged_userfaultfd"] = 1
    if kernel.has(Feature.HIGHMEM):
        limit = (1 << 32) - 1 - (1 << 24)
        values |= {"mmap_rnd_bits": 8, "shmall": limit, "shmmax": limit}
    return values


def by_hardware(snapshot: Snapshot) -> dict[str, Any]:
    """Defaults that grow with memory, CPUs and nodes (init/main.c and the init calls of each part).

    threads-max and file-max count all managed pages, where boot counts what is free at its moment.
    """
    pages = sum(zone.managed for node in snapshot.nodes for zone in node.zones)
    cpus = len(snapshot.hardware.online_cpus)
    scale = 1 + int(log2(min(max(cpus, 1), 8)))  # SCHED_TUNABLESCALING_LOG
    thread_size = PAGE_SIZE << (1 if snapshot.kernel.has(Feature.HIGHMEM) else 2)
    return {
        "threads_max": max(20, (pages << PAGE_SHIFT) // (thread_size * 8)),
        "file_max": max(8192, pages * (PAGE_SIZE >> 10) // 10),
        "pid_max": max(32768, 1024 * snapshot.hardware.nr_cpu_ids),
        "watchdog_cpumask": list(range(snapshot.hardware.nr_cpu_ids)),
        "hostname": snapshot.name or "(none)",
        "numa_balancing": int(snapshot.kernel.has(Feature.NUMA) and len(snapshot.nodes) > 1),
        "sched_latency_ns": 6 * MSEC * scale,
        "sched_min_granularity_ns": 750_000 * scale,
        "sched_wakeup_granularity_ns": MSEC * scale,
    }
