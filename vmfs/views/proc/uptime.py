"""/proc/uptime, as fs/proc/uptime.c: uptime_proc_show() writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmfs.views.entry import File, top

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine


def seconds(centisecs: int) -> str:
    return f"{centisecs // 100}.{centisecs % 100:02}"


def uptime(machine: Machine) -> str:
    """Seconds since boot, and the idle seconds of all CPUs together."""
    return f"{seconds(machine.clock.uptime_centisecs)} {seconds(machine.cpu_stat.idle_now(machine))}\n"


DIRS = (top("/proc", File("uptime", uptime, timed=True)),)
