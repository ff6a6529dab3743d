"""/proc/stat, as fs/proc/stat.c: show_stat() writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmfs.views.entry import File, top

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine


def numbers(key: str, values: list[int]) -> str:
    return f"{key} {' '.join(map(str, values))}\n"


def stat(machine: Machine) -> str:
    cpu = machine.cpu_stat
    times = cpu.times_now(machine)
    return (
        "".join(numbers("cpu " if key == "cpu" else key, row) for key, row in times.items())
        + numbers("intr", cpu.intr)
        + f"ctxt {cpu.ctxt}\nbtime {cpu.btime}\nprocesses {cpu.processes + cpu.started(machine)}\n"
        + f"procs_running {cpu.procs_running}\nprocs_blocked {cpu.procs_blocked}\n"
        + numbers("softirq", cpu.softirq)
    )


DIRS = (top("/proc", File("stat", stat, timed=True)),)
