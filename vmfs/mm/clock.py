"""The machine's time, which only `Machine.tick` moves (kernel/time/timekeeping.c)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(slots=True)
class Clock:
    """Seconds since boot, kept in microseconds so that equal ticks add up to equal times."""

    microsecs: int = 0

    @property
    def uptime(self) -> float:
        return self.microsecs / 1_000_000

    @property
    def uptime_centisecs(self) -> int:
        return self.microsecs // 10_000

    def after(self, seconds: float) -> int:
        """The microsecond that many seconds from now."""
        return self.microsecs + round(seconds * 1_000_000)


class Timetable(Protocol):
    """What is to happen to a machine as its time passes; saved with it."""

    def advance(self, tree: Any, seconds: float) -> None:
        """Instead of `Machine.tick`: `tree` shows the machine."""
