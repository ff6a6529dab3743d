"""/proc/pressure, as kernel/sched/psi.c: psi_show() writes it.

A trigger is checked and taken, but never fires: a file here has no poll().
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from vmfs.kernel import Feature
from vmfs.mm.psi import Pressure
from vmfs.views.entry import File, top
from vmfs.views.kstrtox import c_string

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

TRIGGER = re.compile(rb"\s*(?:some|full)\s+\+?(\d{1,10})\s+\+?(\d{1,10})")
TRIGGER_BYTES = 31
WINDOW_MICROSECS = range(500_000, 10_000_001)


def line(kind: str, pressure: Pressure) -> str:
    avg10, avg60, avg300, total = pressure
    return f"{kind} avg10={avg10:.2f} avg60={avg60:.2f} avg300={avg300:.2f} total={total}\n"


def shown(resource: str, *kinds: str) -> Callable[[Machine], str]:
    return lambda machine: "".join(line(kind, machine.psi.now(machine, resource, kind)) for kind in kinds)


def trigger(_machine: Machine, data: bytes, _offset: int) -> int:
    """psi_trigger_create(): `some|full THRESHOLD WINDOW`, in microseconds."""
    found = TRIGGER.match(c_string(data[:TRIGGER_BYTES]))
    if not found or int(found[2]) not in WINDOW_MICROSECS or not 0 < int(found[1]) <= int(found[2]):
        raise OSError(errno.EINVAL, "expected some|full THRESHOLD WINDOW")
    return len(data)


def pressure(resource: str, mode: int, needs: Feature, *kinds: str) -> File[Machine]:
    return File(resource, shown(resource, *kinds), trigger, mode, needs, timed=True)


DIRS = (
    top(
        "/proc/pressure",
        pressure("cpu", 0o444, Feature.PSI_READ_ONLY, "some"),
        pressure("io", 0o444, Feature.PSI_READ_ONLY, "some", "full"),
        pressure("memory", 0o444, Feature.PSI_READ_ONLY, "some", "full"),
        pressure("cpu", 0o666, Feature.PSI_TRIGGERS, "some", "full"),
        pressure("io", 0o666, Feature.PSI_TRIGGERS, "some", "full"),
        pressure("memory", 0o666, Feature.PSI_TRIGGERS, "some", "full"),
    ),
)
