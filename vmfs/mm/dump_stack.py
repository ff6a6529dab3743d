"""Who was running, and the way there (lib/dump_stack.c, kernel/panic.c, arch/x86/kernel/dumpstack.c).

The names on a call trace are those of the release's functions. There is no kernel image behind them,
so their offsets and sizes follow from the names; registers of user space are those of a program at
its entry point, and its code cannot be read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING
from zlib import crc32

from vmfs.kernel import Feature, Kernel
from vmfs.mm.current import KWORKER, Current
from vmfs.mm.printk import Level

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

COMM_SHOWN = 20
SMALLEST_FUNCTION, FUNCTION_SIZES = 0x20, 0x7E0
ENTRY_POINT = 0x401000
PROLOGUE_BYTES = 42  # of code before the instruction pointer that would be shown

_TAINTS = "PFSRMBUDAWCIOELKXTNJ"
_TAINT_NAMES = (
    *("PROPRIETARY_MODULE", "FORCED_MODULE", "CPU_OUT_OF_SPEC", "FORCED_RMMOD", "MACHINE_CHECK"),
    *("BAD_PAGE", "USER", "DIE", "OVERRIDDEN_ACPI_TABLE", "WARN", "CRAP", "FIRMWARE_WORKAROUND"),
    *("OOT_MODULE", "UNSIGNED_MODULE", "SOFTLOCKUP", "LIVEPATCH", "AUX", "RANDSTRUCT", "TEST", "FWCTL"),
)

_KILL = "dump_header oom_kill_process.cold out_of_memory"
_PANIC = "panic out_of_memory.cold"
_SLOWPATH = "__alloc_pages_slowpath.constprop.0"


@cache
def _traces() -> dict[tuple[str, ...], str]:
    """By release, architecture and cause."""
    lines = (files("vmfs.data") / "call-traces.tsv").read_text().splitlines()
    rows = (line.split("\t") for line in lines if not line.startswith("#"))
    return {tuple(key): functions for *key, functions in rows}


def dump_stack(machine: Machine, current: Current, cpu: int, cause: str, *, dying: bool = False) -> None:
    """Log who runs and the functions it is in: `cause` is a column of vmfs/data/call-traces.tsv."""
    for text in (
        *_print_info(machine, current, cpu),
        *_call_trace(machine.kernel, cause, dying=dying),
    ):
        machine.printk(Level.WARNING, text)


def _print_info(machine: Machine, current: Current, cpu: int) -> Iterator[str]:
    """dump_stack_print_info()"""
    kernel = machine.kernel
    uid = f"UID: {current.uid} " if kernel.has(Feature.STACK_UID) else ""
    who = f"CPU: {cpu} {uid}PID: {current.pid} Comm: {current.comm[:COMM_SHOWN]}"
    yield f"{who} {_tainted(kernel, machine.sysctl.tainted)} {_utsname(machine)}"
    if kernel.has(Feature.TAINT_NAMES) and machine.sysctl.tainted:
        yield _tainted_verbose(machine.sysctl.tainted)
    yield f"Hardware name: vmfs {machine.name}"
    if current is KWORKER:
        yield "Workqueue: events moom_callback"


def _tainted(kernel: Kernel, tainted: int) -> str:
    """print_tainted(): a letter or a blank for each reason; the first is G while all modules are free."""
    if not tainted:
        return "Not tainted"
    known = _TAINTS[: 18 + kernel.has(Feature.TAINT_TEST) + kernel.has(Feature.TAINT_FWCTL)]
    clear = {"P": "G"}
    letters = (c if tainted >> bit & 1 else clear.get(c, " ") for bit, c in enumerate(known))
    return "Tainted: " + "".join(letters)


def _tainted_verbose(tainted: int) -> str:
    pairs = zip(_TAINTS, _TAINT_NAMES, strict=True)
    return "Tainted: " + ", ".join(
        f"[{c}]={name}" for bit, (c, name) in enumerate(pairs) if tainted >> bit & 1
    )


def _utsname(machine: Machine) -> str:
    """Release, the number of the build, and what Debian adds."""
    version = machine.hardware.version
    words = version.split(maxsplit=3)
    release = words[2] if len(words) > 2 else "{}.{}.0".format(*machine.kernel.release)
    number = re.search(r"#\S+", version)
    package = re.search(r"Debian \S+(?= \(\d{4}-)", version)
    text = f"{release} {number[0] if number else '#1'}"
    return text + _package(machine.kernel, f" {package[0]}" if package else "")


def _package(kernel: Kernel, package: str) -> str:
    if kernel.has(Feature.STACK_PREEMPT_MODEL):
        return f" PREEMPT(lazy) {package} "
    return f" {package}" if package and kernel.has(Feature.STACK_TASK) else package


def _call_trace(kernel: Kernel, cause: str, *, dying: bool = False) -> Iterator[str]:
    """show_trace_log_lvl(): the functions from here to the entry of the kernel."""
    marked = kernel.has(Feature.STACK_TASK) and not kernel.has(Feature.HIGHMEM)
    yield "Call Trace:"
    if marked:
        yield " <TASK>"
    for function in _functions(kernel, cause, dying=dying):
        yield f" {_place(function)}"
    if cause != "sysrq":
        yield from _user_registers(kernel, system_call=cause != "fault")
    if marked:
        yield " </TASK>"


def _functions(kernel: Kernel, cause: str, *, dying: bool) -> list[str]:
    first = "dump_stack_lvl" if kernel.has(Feature.STACK_TASK) else "dump_stack"
    key = ("{}.{}".format(*kernel.release), kernel.arch.value, cause)
    return " ".join((first, _PANIC if dying else _KILL, _traces()[key])).split()


def _place(function: str) -> str:
    seed = crc32(function.encode())
    size = SMALLEST_FUNCTION + seed % FUNCTION_SIZES // 16 * 16
    return f"{function}+{1 + (seed >> 16) % (size - 1):#x}/{size:#x}"


def _user_registers(kernel: Kernel, *, system_call: bool) -> Iterator[str]:
    """show_regs() of the interrupted program."""
    code = ENTRY_POINT - PROLOGUE_BYTES
    prefix = "" if kernel.has(Feature.STACK_TASK) else "RIP "
    if kernel.has(Feature.HIGHMEM):
        yield f"EIP: {ENTRY_POINT:#x}"
        yield f"Code: Unable to access opcode bytes at {code:#x}."
        yield "EAX: 00000000 EBX: 00000000 ECX: 00000000 EDX: 00000000"
        yield "ESI: 00000000 EDI: 00000000 EBP: 00000000 ESP: bffff000"
        yield "DS: 007b ES: 007b FS: 0000 GS: 0033 SS: 007b EFLAGS: 00010202"
        return
    yield f"RIP: 0033:{ENTRY_POINT:#x}"
    yield f"Code: Unable to access opcode bytes at {prefix}{code:#x}."
    called = f" ORIG_RAX: {0:016x}" if system_call else ""
    yield f"RSP: 002b:{0x7FFFFFFFF000:016x} EFLAGS: {0x202:08x}{called}"
    for row in ("RAX RBX RCX", "RDX RSI RDI", "RBP R08 R09", "R10 R11 R12", "R13 R14 R15"):
        yield " ".join(f"{register}: {0:016x}" for register in row.split())
