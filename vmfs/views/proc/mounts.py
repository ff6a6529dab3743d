"""/proc/mounts, as fs/proc_namespace.c: show_vfsmnt() writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmfs.views.entry import File, top
from vmfs.views.seq import mangle

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine


def mounts(machine: Machine) -> str:
    """A link to self/mounts in the kernel; here there is one namespace, so a file."""
    return "".join(" ".join(map(mangle, columns)) + "\n" for columns in machine.hardware.mounts)


DIRS = (top("/proc", File("mounts", mounts)),)
