"""/proc/PID/limits, as fs/proc/base.c: proc_pid_limits() writes it: those that init starts with."""

from __future__ import annotations

from collections.abc import Callable

from vmfs.kernel import Feature
from vmfs.mm.machine import Machine
from vmfs.views.proc.pid.process import Process
from vmfs.views.seq import kbytes


def pending_signals(machine: Machine) -> int:
    """kernel/fork.c: set_max_threads(): an eighth of memory for stacks, half of that for one user.

    Of all managed pages; boot counts what is free at its moment.
    """
    return kbytes(machine.totalram_pages) // (machine.kernel.thread_size_kbytes * 8) // 2


def mlock_limit(machine: Machine) -> int:
    return 8 << 20 if machine.kernel.has(Feature.MLOCK_LIMIT_8M) else 64 << 10


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


def limits(process: Process) -> str:
    def shown(limit: Callable[[Machine], int] | None) -> str:
        return f"{limit(process.machine) if limit else 'unlimited':<20} "

    lines = [f"{'Limit':<25} {'Soft Limit':<20} {'Hard Limit':<20} {'Units':<10}\n"]
    for name, soft, hard, unit in LIMITS:
        lines.append(f"{name:<25} {shown(soft)}{shown(hard)}{f'{unit:<10}' if unit else ''}\n")
    return "".join(lines)
