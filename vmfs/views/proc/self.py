"""/proc/self and /proc/1: the machine's init, a process that owns no memory (fs/proc/array.c, base.c).

Who reads is not known to the simulated machine, so `self` is init for every reader. Init is shown
as the kernel shows a process without an address space: no Vm lines, no mappings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmfs.kernel import Feature
from vmfs.mm.mmzone import PAGE_SIZE
from vmfs.views.entry import File, Link, top
from vmfs.views.seq import id_list, id_mask

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

COMM = "init"
MAX_NUMNODES = 1024  # CONFIG_NODES_SHIFT of the distributions
NONE = "0000000000000000"
CAP_FULL_SET = "000001ffffffffff"


@dataclass(frozen=True, slots=True)
class Row:
    """A line of status."""

    label: str
    value: Callable[[Machine], str]
    needs: Feature = Feature.BASE


def fixed(label: str, text: str, needs: Feature = Feature.BASE) -> Row:
    return Row(label, lambda _: text, needs)


def mems_allowed(machine: Machine) -> str:
    nids = [node.nid for node in machine.nodes if node.present_pages]
    return id_mask(nids, MAX_NUMNODES if machine.kernel.has(Feature.NUMA) else 1)


def store_bypass(machine: Machine) -> str:
    """What the CPU's list of bugs says."""
    facts = dict(machine.hardware.cpuinfo[0]) if machine.hardware.cpuinfo else {}
    return "vulnerable" if "spec_store_bypass" in facts.get("bugs", "").split() else "not vulnerable"


def max_threads(machine: Machine) -> int:
    """kernel/fork.c: set_max_threads(): an eighth of memory for stacks, half of that for one user."""
    stack = PAGE_SIZE << (1 if machine.kernel.has(Feature.HIGHMEM) else 2)
    return machine.totalram_pages * PAGE_SIZE // (stack * 8)


def pending_signals(machine: Machine) -> int:
    return max_threads(machine) // 2


def mlock_limit(machine: Machine) -> int:
    return 8 << 20 if machine.kernel.has(Feature.MLOCK_LIMIT_8M) else 64 << 10


STATUS: tuple[Row, ...] = (
    fixed("Name", COMM),
    fixed("Umask", "0022"),
    fixed("State", "S (sleeping)"),
    fixed("Tgid", "1"),
    fixed("Ngid", "0"),
    fixed("Pid", "1"),
    fixed("PPid", "0"),
    fixed("TracerPid", "0"),
    fixed("Uid", "0\t0\t0\t0"),
    fixed("Gid", "0\t0\t0\t0"),
    fixed("FDSize", "64"),
    fixed("Groups", " "),
    fixed("NStgid", "1"),
    fixed("NSpid", "1"),
    fixed("NSpgid", "0"),
    fixed("NSsid", "0"),
    fixed("Kthread", "0", Feature.STATUS_KTHREAD),
    fixed("Threads", "1"),
    Row("SigQ", lambda m: f"0/{pending_signals(m)}"),
    fixed("SigPnd", NONE),
    fixed("ShdPnd", NONE),
    fixed("SigBlk", NONE),
    fixed("SigIgn", NONE),
    fixed("SigCgt", NONE),
    fixed("CapInh", NONE),
    fixed("CapPrm", CAP_FULL_SET),
    fixed("CapEff", CAP_FULL_SET),
    fixed("CapBnd", CAP_FULL_SET),
    fixed("CapAmb", NONE),
    fixed("NoNewPrivs", "0"),
    fixed("Seccomp", "0"),
    fixed("Seccomp_filters", "0"),
    Row("Speculation_Store_Bypass", store_bypass),
    fixed("SpeculationIndirectBranch", "always enabled", Feature.STATUS_INDIRECT_BRANCH),
    Row("Cpus_allowed", lambda m: id_mask(m.hardware.online_cpus, m.hardware.nr_cpu_ids)),
    Row("Cpus_allowed_list", lambda m: id_list(m.hardware.online_cpus)),
    Row("Mems_allowed", mems_allowed),
    Row("Mems_allowed_list", lambda m: id_list(n.nid for n in m.nodes if n.present_pages)),
    fixed("voluntary_ctxt_switches", "0"),
    fixed("nonvoluntary_ctxt_switches", "0"),
    fixed("x86_Thread_features", "", Feature.STATUS_THREAD_FEATURES),
    fixed("x86_Thread_features_locked", "", Feature.STATUS_THREAD_FEATURES),
)


def status(machine: Machine) -> str:
    shown = (row for row in STATUS if machine.kernel.has(row.needs))
    return "".join(f"{row.label}:\t{row.value(machine)}\n" for row in shown)


def stat(machine: Machine) -> str:
    """do_task_stat(): 52 fields; those of an address space are 0."""
    unlimited = machine.kernel.ulong_max
    head = f"1 ({COMM}) S 0 0 0 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 0 0 0 {unlimited}"
    return f"{head} {'0 ' * 12}17 0 0 0 0 0 0 {'0 ' * 7}0\n"


Limit = tuple[str, "Callable[[Machine], int] | None", "Callable[[Machine], int] | None", str]

LIMITS: tuple[Limit, ...] = (
    ("Max cpu time", None, None, "seconds"),
    ("Max file size", None, None, "bytes"),
    ("Max data size", None, None, "bytes"),
    ("Max stack size", lambda _: 8 << 20, None, "bytes"),
    ("Max core file size", lambda _: 0, None, "bytes"),
    ("Max resident set", None, None, "bytes"),
    ("Max processes", pending_signals, pending_signals, "processes"),
    ("Max open files", lambda _: 1024, lambda _: 4096, "files"),
    ("Max locked memory", mlock_limit, mlock_limit, "bytes"),
    ("Max address space", None, None, "bytes"),
    ("Max file locks", None, None, "locks"),
    ("Max pending signals", pending_signals, pending_signals, "signals"),
    ("Max msgqueue size", lambda _: 819200, lambda _: 819200, "bytes"),
    ("Max nice priority", lambda _: 0, lambda _: 0, ""),
    ("Max realtime priority", lambda _: 0, lambda _: 0, ""),
    ("Max realtime timeout", None, None, "us"),
)
"""Soft and hard limit; None is unlimited."""


def limits(machine: Machine) -> str:
    """proc_pid_limits()."""

    def shown(limit: Callable[[Machine], int] | None) -> str:
        return f"{limit(machine) if limit else 'unlimited':<20} "

    lines = [f"{'Limit':<25} {'Soft Limit':<20} {'Hard Limit':<20} {'Units':<10}\n"]
    for name, soft, hard, unit in LIMITS:
        lines.append(f"{name:<25} {shown(soft)}{shown(hard)}{f'{unit:<10}' if unit else ''}\n")
    return "".join(lines)


def nothing(_machine: Machine) -> str:
    return ""


DIRS = (
    top("/proc", Link("self", lambda _: "1")),
    top(
        "/proc/1",
        File("cmdline", nothing),
        File("comm", lambda _: f"{COMM}\n"),
        File("limits", limits),
        File("maps", nothing),
        File("numa_maps", nothing),
        File("oom_score", lambda _: "0\n"),
        File("oom_score_adj", lambda _: "0\n"),
        File("smaps", nothing),
        File("smaps_rollup", nothing),
        File("stat", stat),
        File("statm", lambda _: "0 0 0 0 0 0 0\n"),
        File("status", status),
    ),
)
