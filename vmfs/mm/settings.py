"""What a stored setting changes besides itself: one row a setting, everything else only stores.

The rows run after every successful write, also one that stores the old value again; they get the
value from before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vmfs.kernel import Feature
from vmfs.mm import kcompactd, kswapd, pageset, wmark
from vmfs.mm.huge_memory import ThpSize, TransparentHugePages
from vmfs.mm.lru_gen import LruGen, capabilities
from vmfs.mm.mempolicy import InterleaveWeight
from vmfs.mm.printk import Level
from vmfs.mm.sysctl import Sysctl

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

After = Callable[["Machine", Any], None]
DROP_QUIETLY = 4  # of drop_caches: the last write that the log tells of


def store(machine: Machine, holder: Any, name: str, value: Any) -> None:
    """Set one attribute of `machine.sysctl`, `machine.thp`, ... and do what the kernel does then."""
    before = getattr(holder, name)
    setattr(holder, name, value)
    after = AFTER_STORE.get((type(holder), name))
    if after:
        after(machine, before)


def _min_free_kbytes(machine: Machine, _before: int) -> None:
    machine.sysctl.user_min_free_kbytes = machine.sysctl.min_free_kbytes
    _watermarks_moved(machine)


def _watermark_scale_factor(machine: Machine, _before: int) -> None:
    _watermarks_moved(machine)


def _watermarks_moved(machine: Machine) -> None:
    """The next allocations then wake kswapd where it has work; here at once."""
    wmark.setup_per_zone_wmarks(machine)
    kswapd.wakeup_all_kswapds(machine)


def _lowmem_reserve_ratio(machine: Machine, _before: list[int]) -> None:
    wmark.setup_per_zone_lowmem_reserve(machine)


def _percpu_pagelist_fraction(machine: Machine, before: int) -> None:
    """percpu_pagelist_high_fraction_sysctl_handler(): nothing happens without a change."""
    # A kernel has one of the two; the other stays 0.
    if before != machine.sysctl.percpu_pagelist_high_fraction + machine.sysctl.percpu_pagelist_fraction:
        pageset.zone_pcp_update(machine)


def _dirty_background_ratio(machine: Machine, _before: int) -> None:
    machine.sysctl.dirty_background_bytes = 0


def _dirty_background_bytes(machine: Machine, _before: int) -> None:
    machine.sysctl.dirty_background_ratio = 0


def _dirty_ratio(machine: Machine, before: int) -> None:
    """dirty_ratio_handler(): unlike the background pair, only a change clears the other."""
    if machine.sysctl.dirty_ratio != before:
        machine.sysctl.dirty_bytes = 0


def _dirty_bytes(machine: Machine, before: int) -> None:
    if machine.sysctl.dirty_bytes != before:
        machine.sysctl.dirty_ratio = 0


def _overcommit_ratio(machine: Machine, _before: int) -> None:
    machine.sysctl.overcommit_kbytes = 0


def _overcommit_kbytes(machine: Machine, _before: int) -> None:
    machine.sysctl.overcommit_ratio = 0


def _drop_caches(machine: Machine, _before: int) -> None:
    """drop_caches_sysctl_handler(): a write without a number repeats the last one, at first 0."""
    sysctl = machine.sysctl
    if sysctl.drop_caches:
        machine.drop_caches(sysctl.drop_caches)
    if not sysctl.drop_caches_quietly:
        who = machine.current
        machine.printk(Level.INFO, f"{who.comm} ({who.pid}): drop_caches: {sysctl.drop_caches}")
    sysctl.drop_caches_quietly |= bool(sysctl.drop_caches & DROP_QUIETLY)


def _compact_memory(machine: Machine, _before: int) -> None:
    """sysctl_compaction_handler(): old kernels do not look at what was written."""
    if machine.sysctl.compact_memory == 1 or not machine.kernel.has(Feature.COMPACT_MEMORY_CHECKED):
        machine.compact_memory()


def _compaction_proactiveness(machine: Machine, _before: int) -> None:
    if machine.kernel.has(Feature.PROACTIVE_COMPACTION_TRIGGERED):
        kcompactd.trigger(machine)


def _numa_stat(machine: Machine, before: int) -> None:
    """sysctl_vm_numa_stat_handler(): switching off clears the counters."""
    if before == machine.sysctl.numa_stat:
        return
    if machine.sysctl.numa_stat:
        machine.printk(Level.INFO, "enable numa statistics")
        return
    for _, zone in machine.zones():
        zone.numa[:] = 0
    machine.printk(Level.INFO, "disable numa statistics, and clear numa counters")


def _laptop_mode(machine: Machine, _before: int) -> None:
    """laptop_mode_handler(): nothing comes of it any more."""
    if machine.kernel.has(Feature.LAPTOP_MODE_DEPRECATED):
        who = machine.current.comm
        machine.printk(Level.WARNING, f"{who}: vm.laptop_mode is deprecated. Ignoring setting.")


def _watchdog_cpumask(machine: Machine, _before: list[int]) -> None:
    """kernel/watchdog.c: proc_watchdog_update(): CPUs that cannot exist fall out."""
    sysctl = machine.sysctl
    sysctl.watchdog_cpumask = [cpu for cpu in sysctl.watchdog_cpumask if cpu < machine.hardware.nr_cpu_ids]


def _khugepaged(machine: Machine, _before: str) -> None:
    """mm/khugepaged.c: start_stop_khugepaged()."""
    wmark.set_recommended_min_free_kbytes(machine, thp_enabled=machine.thp.runs_khugepaged(machine.kernel))


def _shmem(machine: Machine, before: str) -> None:
    if machine.kernel.has(Feature.SHMEM_STARTS_KHUGEPAGED):
        _khugepaged(machine, before)


def _lru_gen(machine: Machine, _before: int) -> None:
    machine.lru_gen.enabled &= capabilities(machine.kernel)


def _interleave_weight(machine: Machine, _before: int) -> None:
    machine.mempolicy.auto = False


AFTER_STORE: dict[tuple[type, str], After] = {
    (Sysctl, "compact_memory"): _compact_memory,
    (Sysctl, "compaction_proactiveness"): _compaction_proactiveness,
    (Sysctl, "dirty_background_bytes"): _dirty_background_bytes,
    (Sysctl, "dirty_background_ratio"): _dirty_background_ratio,
    (Sysctl, "dirty_bytes"): _dirty_bytes,
    (Sysctl, "dirty_ratio"): _dirty_ratio,
    (Sysctl, "drop_caches"): _drop_caches,
    (Sysctl, "laptop_mode"): _laptop_mode,
    (Sysctl, "lowmem_reserve_ratio"): _lowmem_reserve_ratio,
    (Sysctl, "min_free_kbytes"): _min_free_kbytes,
    (Sysctl, "numa_stat"): _numa_stat,
    (Sysctl, "overcommit_kbytes"): _overcommit_kbytes,
    (Sysctl, "overcommit_ratio"): _overcommit_ratio,
    (Sysctl, "percpu_pagelist_fraction"): _percpu_pagelist_fraction,
    (Sysctl, "percpu_pagelist_high_fraction"): _percpu_pagelist_fraction,
    (Sysctl, "watchdog_cpumask"): _watchdog_cpumask,
    (Sysctl, "watermark_scale_factor"): _watermark_scale_factor,
    (TransparentHugePages, "enabled"): _khugepaged,
    (TransparentHugePages, "shmem_enabled"): _shmem,
    (ThpSize, "enabled"): _khugepaged,
    (ThpSize, "shmem_enabled"): _shmem,
    (LruGen, "enabled"): _lru_gen,
    (InterleaveWeight, "weight"): _interleave_weight,
}
