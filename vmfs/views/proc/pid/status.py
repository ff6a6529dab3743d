"""/proc/PID/status, as fs/proc/array.c: proc_pid_status() writes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vmfs.kernel import Feature
from vmfs.mm import mmap, pagewalk
from vmfs.mm.machine import Machine
from vmfs.views.proc.pid.limits import pending_signals
from vmfs.views.proc.pid.process import Process
from vmfs.views.seq import id_list, id_mask, kbytes

MAX_NUMNODES = 1024  # CONFIG_NODES_SHIFT of the distributions
NO_SIGNALS = NO_CAPS = "0000000000000000"
CAP_FULL_SET = "000001ffffffffff"


@dataclass(frozen=True, slots=True)
class Row:
    """A line: what stands behind the label and a tab."""

    label: str
    value: Callable[[Process], str]
    needs: Feature = Feature.BASE


def fixed(label: str, text: str, needs: Feature = Feature.BASE) -> Row:
    return Row(label, lambda _: text, needs)


def pid(label: str) -> Row:
    return Row(label, lambda p: str(p.task.pid))


def size(label: str, pages: Callable[[Process], int]) -> Row:
    """fs/proc/task_mmu.c: task_mem()"""
    return Row(label, lambda p: f"{kbytes(pages(p)):8} kB")


def capabilities(label: str) -> Row:
    return Row(label, lambda p: NO_CAPS if p.task.uid else CAP_FULL_SET)


def four_ids(process: Process) -> str:
    return "\t".join([str(process.task.uid)] * 4)


def fd_table_size(process: Process) -> str:
    """BITS_PER_LONG: no task has more files open."""
    return str(process.machine.kernel.ulong_max.bit_length())


def mems_allowed(machine: Machine) -> str:
    nids = [node.nid for node in machine.nodes if node.present_pages]
    return id_mask(nids, MAX_NUMNODES if machine.numa else 1)


def mems_allowed_list(machine: Machine) -> str:
    return id_list(node.nid for node in machine.nodes if node.present_pages)


def store_bypass(machine: Machine) -> str:
    """What the CPU's list of bugs says."""
    facts = dict(machine.hardware.cpuinfo[0]) if machine.hardware.cpuinfo else {}
    return "vulnerable" if "spec_store_bypass" in facts.get("bugs", "").split() else "not vulnerable"


def untag_mask(process: Process) -> str:
    return f"{process.machine.kernel.ulong_max:#x}"


def hugetlb(process: Process) -> str:
    return f"{pagewalk.hugetlb_kbytes(process.task):8} kB"


ROWS: tuple[Row, ...] = (
    Row("Name", lambda p: mmap.comm(p.task)),
    fixed("Umask", "0022"),
    fixed("State", "S (sleeping)"),
    pid("Tgid"),
    fixed("Ngid", "0"),
    pid("Pid"),
    Row("PPid", lambda p: str(p.ppid)),
    fixed("TracerPid", "0"),
    Row("Uid", four_ids),
    Row("Gid", four_ids),
    Row("FDSize", fd_table_size),
    fixed("Groups", " "),
    pid("NStgid"),
    pid("NSpid"),
    pid("NSpgid"),
    pid("NSsid"),
    fixed("Kthread", "0", Feature.STATUS_KTHREAD),
    size("VmPeak", lambda p: p.sizes.total_vm),  # no mapping ever goes
    size("VmSize", lambda p: p.sizes.total_vm),
    size("VmLck", lambda p: p.sizes.locked_vm),
    fixed("VmPin", f"{0:8} kB"),
    size("VmHWM", lambda p: max(p.task.hiwater_rss, p.task.rss)),
    size("VmRSS", lambda p: p.task.rss),
    size("RssAnon", lambda p: p.task.anon),
    size("RssFile", lambda p: p.task.file),
    size("RssShmem", lambda p: p.task.shmem),
    size("VmData", lambda p: p.sizes.data_vm),
    size("VmStk", lambda p: p.sizes.stack_vm),
    size("VmExe", lambda p: p.text_pages),
    size("VmLib", lambda p: p.sizes.exec_vm - p.text_pages),
    size("VmPTE", lambda p: p.task.page_tables),
    size("VmSwap", lambda p: p.task.swap),
    Row("HugetlbPages", hugetlb),
    fixed("CoreDumping", "0"),
    fixed("THP_enabled", "1"),
    Row("untag_mask", untag_mask, Feature.STATUS_UNTAG_MASK),
    fixed("Threads", "1"),
    Row("SigQ", lambda p: f"0/{pending_signals(p.machine)}"),
    fixed("SigPnd", NO_SIGNALS),
    fixed("ShdPnd", NO_SIGNALS),
    fixed("SigBlk", NO_SIGNALS),
    fixed("SigIgn", NO_SIGNALS),
    fixed("SigCgt", NO_SIGNALS),
    fixed("CapInh", NO_CAPS),
    capabilities("CapPrm"),
    capabilities("CapEff"),
    fixed("CapBnd", CAP_FULL_SET),
    fixed("CapAmb", NO_CAPS),
    fixed("NoNewPrivs", "0"),
    fixed("Seccomp", "0"),
    fixed("Seccomp_filters", "0"),
    Row("Speculation_Store_Bypass", lambda p: store_bypass(p.machine)),
    fixed("SpeculationIndirectBranch", "always enabled", Feature.STATUS_INDIRECT_BRANCH),
    Row("Cpus_allowed", lambda p: id_mask(p.machine.hardware.online_cpus, p.machine.hardware.nr_cpu_ids)),
    Row("Cpus_allowed_list", lambda p: id_list(p.machine.hardware.online_cpus)),
    Row("Mems_allowed", lambda p: mems_allowed(p.machine)),
    Row("Mems_allowed_list", lambda p: mems_allowed_list(p.machine)),
    fixed("voluntary_ctxt_switches", "0"),
    fixed("nonvoluntary_ctxt_switches", "0"),
    fixed("x86_Thread_features", "", Feature.STATUS_THREAD_FEATURES),
    fixed("x86_Thread_features_locked", "", Feature.STATUS_THREAD_FEATURES),
)


def status(process: Process) -> str:
    shown = (row for row in ROWS if process.machine.kernel.has(row.needs))
    return "".join(f"{row.label}:\t{row.value(process)}\n" for row in shown)
