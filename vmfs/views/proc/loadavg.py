"""/proc/loadavg, as fs/proc/loadavg.c: loadavg_proc_show() writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmfs.mm.cpu import FIXED_1
from vmfs.views.entry import File, top

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine


def fixed(load: int) -> str:
    """LOAD_INT, LOAD_FRAC of the load rounded to hundredths."""
    load += FIXED_1 // 200
    return f"{load // FIXED_1}.{load % FIXED_1 * 100 // FIXED_1:02}"


def loadavg(machine: Machine) -> str:
    cpu = machine.cpu_stat
    loads = " ".join(map(fixed, cpu.loadavg_now(machine)))
    threads = cpu.nr_threads + len(machine.tasks)
    return f"{loads} {cpu.nr_running}/{threads} {cpu.last_pid_now(machine)}\n"


DIRS = (top("/proc", File("loadavg", loadavg, timed=True)),)
