"""What the scheduler counts, for /proc/stat, loadavg and uptime (kernel/sched/cputime.c, loadavg.c).

Counts are those of the snapshot; from then on every CPU is idle, since tasks here own memory and
run nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vmfs.mm.tasks import FIRST_PID

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine
    from vmfs.mm.snapshot import Snapshot

IDLE = 3  # the column of /proc/stat
TIMES = 10  # user nice system idle iowait irq softirq steal guest guest_nice
SOFTIRQS = 10

BOOT_TIME = 1_735_689_600  # 2025-01-01, for a machine that does not say when it booted

FIXED_1 = 1 << 11
LOAD_PERIOD_CENTISECS = 500
LOAD_DECAY = (1884, 2014, 2037)  # EXP_1, EXP_5, EXP_15


@dataclass(slots=True)
class CpuStat:
    """`times` in hundredths of a second, by "cpu" and "cpuN"; the total is rounded by itself.

    `since_centisecs` is the uptime at which all this was true.
    """

    since_centisecs: int = 0
    idle_centisecs: int = 0
    times: dict[str, list[int]] = field(default_factory=dict)
    intr: list[int] = field(default_factory=lambda: [0])
    ctxt: int = 0
    btime: int = BOOT_TIME
    processes: int = 1
    procs_running: int = 1
    procs_blocked: int = 0
    softirq: list[int] = field(default_factory=lambda: [0] * (SOFTIRQS + 1))
    loadavg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    nr_running: int = 1
    nr_threads: int = 1
    last_pid: int = 1

    @classmethod
    def of(cls, snapshot: Snapshot) -> CpuStat:
        """`snapshot.stat` holds the rows of /proc/stat and the fields of loadavg, by name."""
        rows = snapshot.stat
        stat = cls(snapshot.uptime_centisecs, snapshot.idle_centisecs)
        stat.times = {key: list(rows[key]) for key in rows if key.startswith("cpu")}
        if not stat.times:
            stat.times = _idle_since_boot(snapshot)
        for name in ("ctxt", "btime", "processes", "procs_running", "procs_blocked"):
            if name in rows:
                setattr(stat, name, _one(rows[name]))
        for name in ("intr", "softirq", "loadavg", "nr_running", "nr_threads", "last_pid"):
            if name in rows:
                setattr(stat, name, rows[name])
        return stat

    def elapsed_centisecs(self, machine: Machine) -> int:
        return machine.clock.uptime_centisecs - self.since_centisecs

    @property
    def first_pid(self) -> int:
        """Of the first task started here."""
        return max(FIRST_PID, self.last_pid + 1)

    def started(self, machine: Machine) -> int:
        """Tasks that were started since."""
        return machine.next_pid - self.first_pid

    def last_pid_now(self, machine: Machine) -> int:
        return machine.next_pid - 1 if self.started(machine) else self.last_pid

    def times_now(self, machine: Machine) -> dict[str, list[int]]:
        """The rows of /proc/stat, "cpu" first."""
        elapsed = self.elapsed_centisecs(machine)
        online = len(machine.hardware.online_cpus)
        return {
            key: _idled(row, elapsed * (online if key == "cpu" else 1)) for key, row in self.times.items()
        }

    def idle_now(self, machine: Machine) -> int:
        """The idle time of all CPUs together, in hundredths of a second."""
        return self.idle_centisecs + self.elapsed_centisecs(machine) * len(machine.hardware.online_cpus)

    def loadavg_now(self, machine: Machine) -> list[int]:
        """calc_load_n() with nothing running: the averages in units of 1/FIXED_1."""
        periods = self.elapsed_centisecs(machine) // LOAD_PERIOD_CENTISECS
        pairs = zip(self.loadavg, LOAD_DECAY, strict=True)
        return [int(round(load * FIXED_1) * (exp / FIXED_1) ** periods) for load, exp in pairs]


def _one(value: Any) -> int:
    # A row of /proc/stat is a list of numbers, if only of one.
    return int(value[0] if isinstance(value, list) else value)


def _idle_since_boot(snapshot: Snapshot) -> dict[str, list[int]]:
    online = snapshot.hardware.online_cpus
    idle = {f"cpu{cpu}": snapshot.uptime_centisecs for cpu in online}
    total = {"cpu": snapshot.uptime_centisecs * len(online)}
    return {key: _idled([0] * TIMES, centisecs) for key, centisecs in (total | idle).items()}


def _idled(row: list[int], centisecs: int) -> list[int]:
    return [*row[:IDLE], row[IDLE] + centisecs, *row[IDLE + 1 :]]
