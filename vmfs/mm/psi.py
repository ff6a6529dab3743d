"""Pressure stall information (kernel/sched/psi.c).

Stall times are those of the snapshot, and the averages fall from there: no task waits for a CPU,
a disk or memory in simulated time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine
    from vmfs.mm.snapshot import Snapshot

FIXED_1 = 1 << 11
PERIOD_CENTISECS = 201  # 2 s and a tick
DECAY = (1677, 1981, 2034)  # of the averages over 10, 60 and 300 s


class Pressure(NamedTuple):
    """Averages in percent, the sum of all stalls in microseconds."""

    avg10: float = 0.0
    avg60: float = 0.0
    avg300: float = 0.0
    total_microsecs: int = 0


@dataclass(slots=True)
class Psi:
    """`stalls[resource][kind]`: resource "cpu", "io" or "memory", kind "some" or "full"."""

    since_centisecs: int = 0
    stalls: dict[str, dict[str, Pressure]] = field(default_factory=dict)

    @classmethod
    def of(cls, snapshot: Snapshot) -> Psi:
        """`snapshot.stat["pressure"]` holds the numbers of the files, by file and kind."""
        files = snapshot.stat.get("pressure", {})
        stalls = {name: {kind: Pressure(*row) for kind, row in rows.items()} for name, rows in files.items()}
        return cls(snapshot.uptime_centisecs, stalls)

    def now(self, machine: Machine, resource: str, kind: str) -> Pressure:
        past = self.stalls.get(resource, {}).get(kind, Pressure())
        periods = (machine.clock.uptime_centisecs - self.since_centisecs) // PERIOD_CENTISECS
        ten, sixty, three_hundred = (
            avg * (exp / FIXED_1) ** periods for avg, exp in zip(past[:3], DECAY, strict=True)
        )
        return Pressure(ten, sixty, three_hundred, past.total_microsecs)
