"""/proc/cpuinfo, as arch/x86/kernel/cpu/proc.c: show_cpuinfo() writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmfs.views.entry import File, top

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

TAB = 8
VALUE_COLUMN = 2 * TAB  # the colon stands at the second tab stop


def line(key: str, value: str) -> str:
    tabs = "\t" * max(0, (VALUE_COLUMN - len(key) + TAB - 1) // TAB)
    return f"{key}{tabs}:{' ' if value else ''}{value}\n"


def cpuinfo(machine: Machine) -> str:
    """A paragraph for each online CPU."""
    return "".join("".join(line(*pair) for pair in cpu) + "\n" for cpu in machine.hardware.cpuinfo)


DIRS = (top("/proc", File("cpuinfo", cpuinfo)),)
