"""/proc/sys/kernel: one row a file. Most of them only hold a number: nothing of the machine hangs on it.

Left out: the directories below. cad_pid takes any number; numbers of
System V IPC that are about to be used can be read, not set.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from errno import EINVAL, EPERM
from typing import TYPE_CHECKING

from vmfs.kernel import Feature
from vmfs.views.codec import (
    SYSCTL_LIMIT,
    Either,
    Int,
    IntVector,
    Jiffies,
    Number,
    Parsed,
    String,
    UInt,
    ULong,
    Write,
)
from vmfs.views.entry import File, top
from vmfs.views.seq import id_list
from vmfs.views.tunable import constant, fail, sysctl_write, tunable

if TYPE_CHECKING:
    from vmfs.kernel import Kernel
    from vmfs.mm.machine import Machine

IPCMNI = 32768
NR_CPUS = 8192
UTS_SIZE = 65
PATH_SIZE = 256
MAX_THREADS = (1 << 30) - 1
HUNG_TASK_TIMEOUT_MAX = ((1 << 63) - 1) // 250
SYS_INFO_NAMES = ("tasks", "mem", "timers", "locks", "ftrace", "all_bt", "blocked_tasks")


class Forgotten(Int):
    """ipc/ipc_sysctl.c: proc_ipc_auto_msgmni(): checked, then dropped."""

    def parse(self, write: Write, old: int) -> Parsed[int]:
        parsed = super().parse(write, old)
        return Parsed(old, parsed.consumed, parsed.errno)


class Decreasing(Int):
    """kernel/kexec_core.c: kexec_limit_handler(): once set it can only fall."""

    def convert(self, number: Number, old: int, kernel: Kernel) -> int | None:
        value = super().convert(number, old, kernel)
        return value if value is None or old < 0 or value < old else None


class Locked(Int):
    """kernel/bpf/syscall.c: bpf_unpriv_handler(): 1 stays until the next boot."""

    def parse(self, write: Write, old: int) -> Parsed[int]:
        parsed = super().parse(write, old)
        return Parsed(old, 0, EPERM) if old == 1 and parsed.value != 1 else parsed


class Taint(ULong):
    """kernel/sysctl.c: proc_taint(): bits are only added."""

    def parse(self, write: Write, old: int) -> Parsed[int]:
        parsed = super().parse(write, old)
        return Parsed(old if parsed.errno else old | parsed.value, parsed.consumed, parsed.errno)


class Sem(IntVector):
    """ipc/ipc_sysctl.c: proc_ipc_sem_dointvec(): semmsl, semmns, semopm and semmni, the last checked."""

    def parse(self, write: Write, old: Sequence[int]) -> Parsed[list[int]]:
        parsed = super().parse(write, old)
        *first, semmni = parsed.value
        if not parsed.errno and 0 <= semmni <= IPCMNI:
            return parsed
        return Parsed([*first, old[3]], 0, parsed.errno or EINVAL)


@dataclass(frozen=True, slots=True)
class Word(String):
    """kernel/printk/printk.c: devkmsg_sysctl_set_loglvl(): one of three words."""

    words: tuple[str, ...] = ("on", "off", "ratelimit")

    def parse(self, write: Write, old: str) -> Parsed[str]:
        parsed = String(self.size).parse(write, old)
        return parsed if parsed.value in self.words else Parsed(old, 0, EINVAL)


class SysInfo(String):
    """lib/sys_info.c: sysctl_sys_info_handler(): known names stay, in their order."""

    def parse(self, write: Write, old: str) -> Parsed[str]:
        parsed = String(self.size).parse(write, old)
        wanted = parsed.value.split(",")
        return Parsed(",".join(name for name in SYS_INFO_NAMES if name in wanted), parsed.consumed)


_RANGE = re.compile(rb"(\d+)(?:-(\d+))?(?:,|\n|$)")


@dataclass(frozen=True, slots=True)
class CpuList:
    """kernel/sysctl.c: proc_do_large_bitmap(): `0-3,8`; behind the start of the file CPUs are added."""

    def format(self, value: Sequence[int]) -> str:
        return id_list(value) + "\n"

    def parse(self, write: Write, old: Sequence[int]) -> Parsed[list[int]]:
        cpus = self._cpus(write.data[:SYSCTL_LIMIT])
        if cpus is None or not write.data:
            return Parsed(list(old), 0, EINVAL if cpus is None else 0)
        return Parsed(sorted(cpus.union(old) if write.offset else cpus), len(write.data))

    def load(self, text: str) -> list[int]:
        return sorted(self._cpus(text.encode()) or ())

    def _cpus(self, data: bytes) -> set[int] | None:
        cpus: set[int] = set()
        data = data.lstrip(b"\n")
        at = 0
        while at < len(data):
            found = _RANGE.match(data, at)
            first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
            if found is None or not first <= last < NR_CPUS:
                return None
            cpus.update(range(first, last + 1))
            at = found.end()
        return cpus


def osrelease(machine: Machine) -> str:
    """The third word of /proc/version."""
    words = machine.hardware.version.split(maxsplit=3)
    return words[2] if len(words) > 2 else "{}.{}.0".format(*machine.kernel.release)


def version(machine: Machine) -> str:
    """From the build's number on: #1 SMP ..."""
    return "#" + machine.hardware.version.partition("#")[2]


def write_ns_last_pid(machine: Machine, data: bytes, offset: int) -> int:
    """kernel/pid_namespace.c: pid_ns_ctl_handler(); the machine gives no number out again, so only upward."""
    parsed = COUNT.parse(sysctl_write(machine, "ns_last_pid", data, offset), machine.next_pid - 1)
    if parsed.errno:
        raise fail(parsed.errno)
    machine.set_attribute(machine, "next_pid", max(machine.next_pid, parsed.value + 1))
    return parsed.consumed


NS_LAST_PID: File[Machine] = File(
    "ns_last_pid", lambda machine: f"{machine.next_pid - 1}\n", write_ns_last_pid, 0o666
)
BOOL = Int(0, 1)
COUNT = Int(0)
ANY = Int()
NEXT_ID = Int(0)
OLD_ID = Int(0, 65535)
SECONDS = ULong(0, HUNG_TASK_TIMEOUT_MAX)
SYS_INFO = SysInfo(128)
FTRACE_TEXT = String(100)
GRANULARITY = Int(100_000, 1_000_000_000)
PID_MAX = Either(Feature.HIGHMEM, Int(301, 32768), Int(301, 1 << 22))
NUMA_BALANCING = Either(Feature.NUMA_BALANCING_PROMOTE, Int(0, 4), BOOL)
OLD_SCHED = Feature.SCHED_GRANULARITY
NEW_ID = Feature.IPC_NEXT_ID_READ_ONLY

DIRS = (
    top(
        "/proc/sys/kernel",
        tunable("acct", IntVector()),
        tunable("acpi_video_flags", ULong()),
        tunable("apparmor_display_secid_mode", BOOL, mode=0o600, needs=Feature.APPARMOR_SECID_MODE),
        tunable(
            "apparmor_restrict_unprivileged_unconfined", ANY, mode=0o600, needs=Feature.APPARMOR_UNCONFINED
        ),
        constant("arch", lambda machine: machine.kernel.arch.value, Feature.KERNEL_ARCH, string=True),
        tunable("auto_msgmni", Forgotten(0, 1)),
        tunable("bootloader_type", ANY, mode=0o444),
        tunable("bootloader_version", ANY, mode=0o444),
        tunable("bpf_stats_enabled", BOOL),
        tunable("cad_pid", ANY, mode=0o600),
        constant("cap_last_cap", lambda _: 40),
        tunable("core_file_note_size_limit", UInt(4 << 20, 16 << 20), needs=Feature.CORE_NOTE_AND_SORT),
        constant("core_modes", lambda _: "file\npipe\nsocket", Feature.CORE_MODES, string=True),
        tunable("core_pattern", String(128)),
        tunable("core_pipe_limit", ANY),
        tunable("core_sort_vma", UInt(0, 1), needs=Feature.CORE_NOTE_AND_SORT),
        tunable("core_uses_pid", ANY),
        tunable("ctrl-alt-del", ANY),
        tunable("dmesg_restrict", BOOL),
        tunable("domainname", String(UTS_SIZE)),
        tunable("ftrace_dump_on_oops", ANY, needs=Feature.FTRACE_DUMP_NUMBER),
        tunable(
            "ftrace_dump_on_oops", String(100), "ftrace_dump_on_oops_text", needs=Feature.FTRACE_DUMP_TEXT
        ),
        tunable("ftrace_enabled", ANY),
        tunable("hardlockup_all_cpu_backtrace", BOOL),
        tunable("hardlockup_panic", BOOL),
        tunable("hardlockup_sys_info", SYS_INFO, needs=Feature.SYS_INFO),
        tunable("hostname", String(UTS_SIZE)),
        tunable("hung_task_all_cpu_backtrace", BOOL),
        tunable("hung_task_check_count", COUNT),
        tunable("hung_task_check_interval_secs", SECONDS),
        tunable("hung_task_detect_count", ULong(0, 0), needs=Feature.HUNG_TASK_DETECT_COUNT),
        tunable("hung_task_panic", BOOL),
        tunable("hung_task_sys_info", SYS_INFO, needs=Feature.SYS_INFO),
        tunable("hung_task_timeout_secs", SECONDS),
        tunable("hung_task_warnings", Int(-1)),
        tunable("io_delay_type", ANY),
        tunable("io_uring_disabled", Int(0, 2), needs=Feature.IO_URING_DISABLED),
        tunable("io_uring_group", ANY, needs=Feature.IO_URING_DISABLED),
        tunable("kernel_sys_info", SYS_INFO, needs=Feature.SYS_INFO),
        tunable("kexec_load_disabled", Int(1, 1)),
        tunable("kexec_load_limit_panic", Decreasing(0), needs=Feature.KEXEC_LOAD_LIMIT),
        tunable("kexec_load_limit_reboot", Decreasing(0), needs=Feature.KEXEC_LOAD_LIMIT),
        tunable("kptr_restrict", Int(0, 2)),
        tunable("max_lock_depth", ANY),
        tunable("max_rcu_stall_to_panic", Int(1), needs=Feature.RCU_STALL_TO_PANIC),
        tunable("modprobe", String(PATH_SIZE)),
        tunable("modules_disabled", Int(1, 1)),
        tunable("msg_next_id", NEXT_ID, needs=Feature.IPC_NEXT_ID_WRITABLE),
        tunable("msg_next_id", NEXT_ID, mode=0o444, needs=NEW_ID),
        tunable("msgmax", COUNT),
        tunable("msgmnb", COUNT),
        tunable("msgmni", Int(0, IPCMNI)),
        constant("ngroups_max", lambda _: 65536),
        tunable("nmi_watchdog", BOOL, needs=Feature.NMI_WATCHDOG_EARLY),
        tunable("nmi_watchdog", BOOL, mode=0o444, needs=Feature.NMI_WATCHDOG_READ_ONLY),
        tunable("nmi_watchdog", BOOL, needs=Feature.NMI_WATCHDOG_LATE),
        NS_LAST_PID,
        tunable("numa_balancing", NUMA_BALANCING, needs=Feature.NUMA),
        tunable("numa_balancing_promote_rate_limit_MBps", COUNT, needs=Feature.NUMA_BALANCING_PROMOTE),
        tunable("numa_balancing_scan_delay_ms", ANY, needs=Feature.NUMA_BALANCING_SCAN),
        tunable("numa_balancing_scan_period_max_ms", ANY, needs=Feature.NUMA_BALANCING_SCAN),
        tunable("numa_balancing_scan_period_min_ms", ANY, needs=Feature.NUMA_BALANCING_SCAN),
        tunable("numa_balancing_scan_size_mb", Int(1), needs=Feature.NUMA_BALANCING_SCAN),
        tunable("oops_all_cpu_backtrace", BOOL),
        tunable("oops_limit", UInt()),
        constant("osrelease", osrelease, string=True),
        constant("ostype", lambda _: "Linux", string=True),
        tunable("overflowgid", OLD_ID),
        tunable("overflowuid", OLD_ID),
        tunable("panic", ANY),
        tunable("panic_on_io_nmi", ANY),
        tunable("panic_on_oops", ANY),
        tunable("panic_on_rcu_stall", BOOL),
        tunable("panic_on_unrecovered_nmi", ANY),
        tunable("panic_on_warn", BOOL),
        tunable("panic_print", ULong()),
        tunable("panic_sys_info", SYS_INFO, needs=Feature.SYS_INFO),
        tunable("perf_cpu_time_max_percent", Int(0, 100)),
        tunable("perf_event_max_contexts_per_stack", Int(0, 1000)),
        tunable("perf_event_max_sample_rate", Int(1)),
        tunable("perf_event_max_stack", Int(0, 640)),
        tunable("perf_event_mlock_kb", ANY),
        tunable("perf_event_paranoid", ANY),
        tunable("pid_max", PID_MAX),
        tunable("poweroff_cmd", String(PATH_SIZE)),
        tunable("print-fatal-signals", ANY),
        tunable("printk", IntVector()),
        tunable("printk_delay", Int(0, 10000)),
        tunable("printk_devkmsg", Word(10)),
        tunable("printk_ratelimit", Jiffies()),
        tunable("printk_ratelimit_burst", ANY),
        tunable("randomize_va_space", ANY),
        tunable("real-root-dev", ANY, needs=Feature.REAL_ROOT_DEV),
        tunable("sched_autogroup_enabled", BOOL),
        tunable("sched_cfs_bandwidth_slice_us", Int(1)),
        tunable("sched_child_runs_first", ANY, needs=Feature.SCHED_CHILD_RUNS_FIRST),
        tunable("sched_deadline_period_max_us", UInt()),
        tunable("sched_deadline_period_min_us", UInt()),
        tunable("sched_energy_aware", BOOL),
        tunable("sched_latency_ns", GRANULARITY, needs=OLD_SCHED),
        tunable("sched_migration_cost_ns", ANY, needs=OLD_SCHED),
        tunable("sched_min_granularity_ns", GRANULARITY, needs=OLD_SCHED),
        tunable("sched_nr_migrate", ANY, needs=OLD_SCHED),
        tunable("sched_rr_timeslice_ms", ANY),
        tunable("sched_rt_period_us", Int(1)),
        tunable("sched_rt_runtime_us", Int(-1)),
        tunable("sched_schedstats", BOOL),
        tunable("sched_tunable_scaling", Int(0, 2), needs=OLD_SCHED),
        tunable("sched_util_clamp_max", Int(0, 1024), needs=Feature.SCHED_UCLAMP),
        tunable("sched_util_clamp_min", Int(0, 1024), needs=Feature.SCHED_UCLAMP),
        tunable("sched_util_clamp_min_rt_default", Int(0, 1024), needs=Feature.SCHED_UCLAMP),
        tunable("sched_wakeup_granularity_ns", Int(0, 1_000_000_000), needs=OLD_SCHED),
        tunable("sem", Sem()),
        tunable("sem_next_id", NEXT_ID, needs=Feature.IPC_NEXT_ID_WRITABLE),
        tunable("sem_next_id", NEXT_ID, mode=0o444, needs=NEW_ID),
        tunable("shm_next_id", NEXT_ID, needs=Feature.IPC_NEXT_ID_WRITABLE),
        tunable("shm_next_id", NEXT_ID, mode=0o444, needs=NEW_ID),
        tunable("shm_rmid_forced", BOOL),
        tunable("shmall", ULong()),
        tunable("shmmax", ULong()),
        tunable("shmmni", Int(0, IPCMNI)),
        tunable("soft_watchdog", BOOL),
        tunable("softlockup_all_cpu_backtrace", BOOL),
        tunable("softlockup_panic", BOOL),
        tunable("softlockup_sys_info", SYS_INFO, needs=Feature.SYS_INFO),
        tunable("split_lock_mitigate", UInt(0, 1), needs=Feature.SPLIT_LOCK_MITIGATE),
        tunable("stack_tracer_enabled", ANY),
        tunable("sysctl_writes_strict", Int(-1, 1)),
        tunable("sysrq", ANY),
        tunable("tainted", Taint()),
        tunable("task_delayacct", BOOL, needs=Feature.TASK_DELAYACCT),
        tunable("threads-max", Int(1, MAX_THREADS)),
        tunable("timer_migration", BOOL, needs=Feature.TIMER_MIGRATION),
        tunable("traceoff_on_warning", ANY),
        tunable("tracepoint_printk", ANY),
        tunable("unknown_nmi_panic", ANY),
        tunable("unprivileged_bpf_disabled", Locked(0, 2)),
        tunable("unprivileged_userns_apparmor_policy", ANY, mode=0o600),
        tunable("unprivileged_userns_clone", ANY),
        constant("version", version, string=True),
        tunable("warn_limit", UInt()),
        tunable("watchdog", BOOL),
        tunable("watchdog_cpumask", CpuList()),
        tunable("watchdog_thresh", Int(0, 60)),
    ),
)
