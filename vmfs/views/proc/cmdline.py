"""/proc/cmdline, as fs/proc/cmdline.c: cmdline_proc_show() writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmfs.views.entry import File, top

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine


def cmdline(machine: Machine) -> str:
    return f"{machine.hardware.cmdline}\n"


DIRS = (top("/proc", File("cmdline", cmdline)),)
