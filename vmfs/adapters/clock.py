"""How the machine's time follows the host's: real, N times as fast, or by hand alone.

No thread is needed: the tree asks how much time has passed before it looks at the machine, and
nobody else can tell when the machine lived through it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

USER_HZ = 100
"""The step in which time passes: a hundredth of a second, as fine as any file tells it."""

Elapsed = Callable[[], float]
"""The simulated seconds since the last call, 0.0 as long as no step is full."""


class WallClock:
    """`factor` simulated seconds pass in a second."""

    def __init__(self, factor: float = 1.0, now: Callable[[], float] = time.monotonic) -> None:
        self._per_second = factor * USER_HZ
        self._now = now
        self._start = now()
        self._steps = 0

    def __call__(self) -> float:
        passed = int((self._now() - self._start) * self._per_second) - self._steps
        if passed <= 0:
            return 0.0
        self._steps += passed
        return passed / USER_HZ


def parse(text: str) -> Elapsed | None:
    """The three forms are "real", "60x" and "manual", which is None; ValueError."""
    if text == "manual":
        return None
    if text == "real":
        return WallClock()
    found = re.fullmatch(r"(\d+(?:\.\d+)?)x", text)
    if not found or float(found[1]) == 0:
        raise ValueError(f"{text!r} is no clock: real, manual, or a speed such as 60x")
    return WallClock(float(found[1]))
