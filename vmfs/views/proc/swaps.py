"""/proc/swaps, as mm/swapfile.c: swap_show() writes it."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING

from vmfs.mm.swapfile import SwapArea
from vmfs.views.entry import File, Opener, OpenFile, top
from vmfs.views.seq import kbytes, mangle

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

HEADER = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
NAME_COLUMNS = 40
WIDE = 10000000  # from here on a number reaches the second tab stop by itself


def column(kb: int) -> str:
    return f"{kb}\t" if kb >= WIDE else f"{kb}\t\t"


def line(area: SwapArea) -> str:
    name = mangle(area.name)
    kind = "partition\t" if area.kind == "partition" else "file\t\t"
    numbers = f"{column(kbytes(area.pages))}{column(kbytes(area.used))}{area.priority}"
    return f"{name}{' ' * max(1, NAME_COLUMNS - len(name))}{kind}{numbers}\n"


def swaps(machine: Machine) -> str:
    return HEADER + "".join(map(line, machine.swap_areas))


class SwapsFile(OpenFile):
    """swaps_poll(): a descriptor is told once of each change since it was opened."""

    def __init__(self, machine: Machine, _opener: Opener) -> None:
        self._machine = machine
        self._event = machine.proc_poll_event

    def poll(self) -> int:
        changed = self.wakes()
        self._event = self._machine.proc_poll_event
        return select.POLLIN | select.POLLRDNORM | (select.POLLERR | select.POLLPRI if changed else 0)

    def wakes(self) -> bool:
        return self._event != self._machine.proc_poll_event


DIRS = (top("/proc", File("swaps", swaps, open=SwapsFile)),)
