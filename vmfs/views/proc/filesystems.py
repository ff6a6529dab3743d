"""/proc/filesystems, as fs/filesystems.c: filesystems_proc_show() writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmfs.views.entry import File, top

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine


def filesystems(machine: Machine) -> str:
    return "".join(f"{'nodev' if nodev else ''}\t{name}\n" for nodev, name in machine.hardware.filesystems)


DIRS = (top("/proc", File("filesystems", filesystems)),)
