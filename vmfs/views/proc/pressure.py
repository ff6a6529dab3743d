"""/proc/pressure, as kernel/sched/psi.c: psi_show() writes it, and its triggers."""

from __future__ import annotations

import os
import re
import select
from collections.abc import Callable
from errno import EBUSY, EINVAL, EPERM
from typing import TYPE_CHECKING

from vmfs.kernel import Feature
from vmfs.mm import psi
from vmfs.mm.psi import Pressure
from vmfs.mm.psi_trigger import Trigger
from vmfs.views.entry import DEFAULT_POLLMASK, File, Opener, OpenFile, top
from vmfs.views.kstrtox import c_string
from vmfs.views.tunable import fail

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

TRIGGER = re.compile(rb"(some|full)\s*(\d++)\s*(\d++)")
TRIGGER_BYTES = 32
WINDOW_MIN_MICROSECS, WINDOW_MAX_MICROSECS = 500_000, 10_000_000
UNPRIVILEGED_WINDOW_MICROSECS = 2_000_000
U32 = 1 << 32


def hundredths(value: int) -> str:
    return f"{value // 100}.{value % 100:02}"


def line(kind: str, pressure: Pressure) -> str:
    *averages, total = pressure
    ten, sixty, three_hundred = map(hundredths, averages)
    return f"{kind} avg10={ten} avg60={sixty} avg300={three_hundred} total={total}\n"


def shown(resource: str, *kinds: str) -> Callable[[Machine], str]:
    return lambda machine: "".join(line(kind, machine.psi.shown(resource, kind)) for kind in kinds)


class PressureFile(OpenFile):
    """A descriptor, which may get one trigger. EPERM for writers whom psi_open() sends away."""

    def __init__(self, machine: Machine, resource: str, kinds: tuple[str, ...], opener: Opener) -> None:
        self._machine = machine
        self._resource = resource
        self._kinds = kinds
        self._privileged = opener.root
        writes = opener.flags & os.O_ACCMODE != os.O_RDONLY
        if writes and not opener.root and not machine.kernel.has(Feature.PSI_UNPRIVILEGED):
            raise fail(EPERM)
        self._trigger: Trigger | None = None

    def write(self, data: bytes, offset: int) -> int:  # noqa: ARG002
        """psi_write(): the last byte counts for nothing, a newline should be there."""
        if not data:
            raise fail(EINVAL)
        if self._trigger is not None:
            raise fail(EBUSY)
        kind, threshold, window = self._parse(c_string(data[:TRIGGER_BYTES][:-1]))
        self._trigger = psi.trigger_create(
            self._machine, self._resource, kind, (threshold, window), averages=not self._privileged
        )
        self.written += len(data)
        return len(data)

    def _parse(self, text: bytes) -> tuple[str, int, int]:
        """psi_trigger_create(): `some|full THRESHOLD WINDOW`, in microseconds."""
        found = TRIGGER.match(text)
        threshold, window = (int(found[2]) % U32, int(found[3]) % U32) if found else (0, 0)
        short = self._machine.kernel.has(Feature.PSI_SHORT_WINDOWS)
        if not (1 if short else WINDOW_MIN_MICROSECS) <= window <= WINDOW_MAX_MICROSECS:
            raise fail(EINVAL)
        if not self._privileged and window % UNPRIVILEGED_WINDOW_MICROSECS:
            raise fail(EINVAL)
        if not found or found[1].decode() not in self._kinds or not 0 < threshold <= window:
            raise fail(EINVAL)
        return found[1].decode(), threshold, window

    def poll(self) -> int:
        """psi_trigger_poll()"""
        if self._trigger is None:
            return DEFAULT_POLLMASK | select.POLLERR | select.POLLPRI
        return DEFAULT_POLLMASK | (select.POLLPRI if self._trigger.fetch() else 0)

    def wakes(self) -> bool:
        return self._trigger is not None and self._trigger.event

    def release(self) -> None:
        """psi_trigger_destroy()"""
        if self._trigger is not None:
            psi.trigger_destroy(self._machine, self._trigger)


def pressure(resource: str, mode: int, needs: Feature, *kinds: str) -> File[Machine]:
    def opened(machine: Machine, opener: Opener) -> OpenFile:
        return PressureFile(machine, resource, kinds, opener)

    return File(resource, shown(resource, *kinds), None, mode, needs, timed=True, open=opened)


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
