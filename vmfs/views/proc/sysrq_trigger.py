"""/proc/sysrq-trigger (drivers/tty/sysrq.c: write_sysrq_trigger()).

`f` kills the worst task. The other letters act on devices, consoles or the power switch, of which
the machine has none: they are taken and nothing follows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmfs.kernel import Feature
from vmfs.views.entry import File, top

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine


def write_sysrq_trigger(machine: Machine, data: bytes, _offset: int) -> int:
    """The first letter counts; behind an underscore all of them, on kernels that know it."""
    bulk = data.startswith(b"_") and machine.kernel.has(Feature.SYSRQ_BULK)
    for letter in data[1:] if bulk else data[:1]:
        if letter == ord("f"):
            machine.oom()
    return len(data)


DIRS = (top("/proc", File("sysrq-trigger", write=write_sysrq_trigger)),)
