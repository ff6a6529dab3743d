"""Triggers of pressure: who wants to know when stalls grow beyond a threshold (kernel/sched/psi.c)."""

from __future__ import annotations

from dataclasses import dataclass

UPDATES_PER_WINDOW = 10
NEVER = 1 << 62


@dataclass(slots=True, eq=False)
class Trigger:
    """struct psi_trigger. Nanoseconds; `resource` and `kind` as in Psi.

    `with_averages`: of a process without CAP_SYS_RESOURCE, looked at when the averages are.
    """

    resource: str
    kind: str
    threshold: int
    window: int
    start: int
    start_total: int
    with_averages: bool = False
    event: bool = False  # not fetched yet
    pending: bool = False  # there would be one, but for the last, which is less than a window old
    last_event: int | None = None
    last_total: int = 0
    last_growth: int = 0  # of the window before
    next_check: int = 0

    def __post_init__(self) -> None:
        self.last_total = self.start_total
        self.next_check = NEVER if self.with_averages else self.start + self._interval

    @property
    def _interval(self) -> int:
        return self.window // UPDATES_PER_WINDOW

    def update(self, now: int, total: int) -> None:
        """update_triggers(), for one of them."""
        self.skip(now)
        if total != self.last_total:
            self.last_total = total
            self.pending = self._growth(now, total) >= self.threshold or self.pending
        if not self.pending or (self.last_event is not None and now < self.last_event + self.window):
            return
        self.event, self.last_event, self.pending = True, now, False

    def skip(self, now: int) -> None:
        """The next look at it comes after that."""
        if self.next_check <= now:
            self.next_check += ((now - self.next_check) // self._interval + 1) * self._interval

    def _growth(self, now: int, total: int) -> int:
        """window_update(): in the last window's length, if the one before grew evenly."""
        elapsed, growth = now - self.start, total - self.start_total
        if elapsed > self.window:
            self.start, self.start_total, self.last_growth = now, total, growth
            return growth
        return growth + self.last_growth * (self.window - elapsed) // self.window

    def fetch(self) -> bool:
        """Whether it fired since it was last asked (psi_trigger_poll())."""
        fired, self.event = self.event, False
        return fired
