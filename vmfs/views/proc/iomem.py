"""/proc/iomem, as kernel/resource.c: r_show() writes it for a reader with CAP_SYS_ADMIN."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmfs.views.entry import File, top

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

DIGITS = 8  # an address below 4 GiB; a longer one is printed as long as it is


def iomem(machine: Machine) -> str:
    return "".join(
        f"{'  ' * depth}{first:0{DIGITS}x}-{last:0{DIGITS}x} : {name}\n"
        for depth, first, last, name in machine.hardware.iomem
    )


DIRS = (top("/proc", File("iomem", iomem)),)
