"""DAMON, the monitor of accesses: what /sys/kernel/mm/damon sets (mm/damon/sysfs.c)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Damon:
    """`nr_kdamonds` threads could be set up; none runs."""

    nr_kdamonds: int = 0
