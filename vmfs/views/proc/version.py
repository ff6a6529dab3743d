"""/proc/version, as fs/proc/version.c: version_proc_show() writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmfs.views.entry import File, top

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine


def version(machine: Machine) -> str:
    return f"{machine.hardware.version}\n"


DIRS = (top("/proc", File("version", version)),)
