"""Pressure stall information (kernel/sched/psi.c).

Work in simulated memory is done at once; the time it would have taken is a debt, which is paid while
the clock runs: as long as a process owes time to a resource it is stalled on it. One that owes time
is busy, all others are idle. What a page costs is below; the disk is a solid-state disk.

The kernel keeps the states of each CPU and weighs the CPUs by the time they were not idle. Here
nobody runs on a CPU of his own; the busy share those there are evenly, as the comment at the head of
psi.c does the sum.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from vmfs.mm.psi_trigger import Trigger

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine
    from vmfs.mm.snapshot import Snapshot

RECLAIM_NANOSECS = 500  # to find and free one page
MIGRATE_NANOSECS = 1_000  # to move one
FAULT_NANOSECS = 250  # to clear and map one
DISK_NANOSECS = 8_000  # to read or write one: 500 MB/s

HZ = 250
FIXED_SHIFT = 11
FIXED_1 = 1 << FIXED_SHIFT
PERIOD_NANOSECS = (2 * HZ + 1) * (1_000_000_000 // HZ)  # PSI_FREQ
DECAY = (1677, 1981, 2034)  # EXP_10s, EXP_60s, EXP_300s
IO, MEMORY, CPU = RESOURCES = ("io", "memory", "cpu")
SOME, FULL = KINDS = ("some", "full")
KSWAPD = -1
"""Who reclaims in the background: as if it was one process, without a pid of its own."""

KSWAPD_LEAD_NANOSECS = 1_000_000_000
"""How much more work than whoever allocates kswapd may have taken on before it lags behind."""


class Pressure(NamedTuple):
    """Averages in hundredths of a percent, the sum of all stalls in microseconds."""

    avg10: int = 0
    avg60: int = 0
    avg300: int = 0
    total_microsecs: int = 0


Share = tuple[int, int]
"""Of what: numerator and denominator."""


@dataclass(slots=True)
class Stall:
    """One line of a file. `averages` are percent in units of 1/FIXED_1; `averaged` is what they know of."""

    total: int = 0  # nanoseconds
    averaged: int = 0
    averages: list[int] = field(default_factory=lambda: [0, 0, 0])
    share: Share | None = None  # of the time, that was lost last
    since: int = 0  # from when on
    before: int = 0  # `total` then

    @classmethod
    def of(cls, avg10: float, avg60: float, avg300: float, microsecs: int) -> Stall:
        """As printed: the averages were cut to hundredths."""
        fixed = [-(-round(avg * 100) * FIXED_1 // 100) for avg in (avg10, avg60, avg300)]
        return cls(microsecs * 1000, microsecs * 1000, fixed)

    @property
    def quiet(self) -> bool:
        return self.averaged == self.total and not any(self.averages)

    def lose(self, now: int, end: int, share: Share) -> None:
        """That share of the time between two moments. How it is cut leaves no trace in the rounding."""
        if share != self.share:
            self.share, self.since, self.before = share, now, self.total
        self.total = self.before + (end - self.since) * share[0] // share[1]

    def update(self, period: int) -> None:
        """update_averages(): what does not fit into the period is told in the next."""
        sample = min(self.total - self.averaged, period)
        self.averaged += sample
        active = sample * 100 // period * FIXED_1
        self.averages = [_calc_load(a, exp, active) for a, exp in zip(self.averages, DECAY, strict=True)]

    def shown(self) -> Pressure:
        ten, sixty, three_hundred = (average * 100 >> FIXED_SHIFT for average in self.averages)
        return Pressure(ten, sixty, three_hundred, self.total // 1000)


def _calc_load(load: int, exp: int, active: int) -> int:
    rounded = FIXED_1 - 1 if active >= load else 0
    return (load * exp + active * (FIXED_1 - exp) + rounded) >> FIXED_SHIFT


@dataclass(slots=True)
class Psi:
    """`debts[resource][who]`: nanoseconds that a process still waits; `now` is up to when that is paid."""

    now: int = 0
    next_update: int = PERIOD_NANOSECS
    nr_cpus: int = 1
    stalls: dict[tuple[str, str], Stall] = field(default_factory=dict)
    debts: dict[str, dict[int, int]] = field(default_factory=lambda: {name: {} for name in RESOURCES})
    triggers: list[Trigger] = field(default_factory=list)

    @classmethod
    def of(cls, snapshot: Snapshot) -> Psi:
        """`snapshot.stat["pressure"]` holds the numbers of the files, by file and kind."""
        files = snapshot.stat.get("pressure", {})
        now = snapshot.uptime_centisecs * 10_000_000
        psi = cls(now, now + PERIOD_NANOSECS, len(snapshot.hardware.online_cpus))
        psi.stalls = {(name, kind): Stall() for name in RESOURCES for kind in KINDS}
        for name, rows in files.items():
            psi.stalls |= {(name, kind): Stall.of(*row) for kind, row in rows.items()}
        return psi

    def shown(self, resource: str, kind: str) -> Pressure:
        return self.stalls[resource, kind].shown()

    def charge(self, microsecs: int, who: int, nanosecs: int, *resources: str) -> None:
        """A process will wait so long for each of the resources, or for a CPU while it works."""
        self.advance(microsecs)
        for resource in resources:
            owed = self.debts[resource]
            owed[who] = owed.get(who, 0) + nanosecs

    def owes(self, who: int) -> int:
        """Nanoseconds until a process has done all it began."""
        waits = max(self.debts[resource].get(who, 0) for resource in (IO, MEMORY))
        return waits + self.debts[CPU].get(who, 0)

    def advance(self, microsecs: int) -> None:
        """Time has passed until then: debts are paid, averages move, triggers fire."""
        end = microsecs * 1000
        while self.now < end:
            if self._is_quiet():
                missed = max(end - self.next_update, -1) // PERIOD_NANOSECS + 1
                self.next_update += missed * PERIOD_NANOSECS
                for trigger in self.triggers:
                    trigger.skip(end)
                self.now = end
                return
            self._step(min(end, self._next_change()))

    def _is_quiet(self) -> bool:
        return (
            not any(self.debts.values())
            and all(stall.quiet for stall in self.stalls.values())
            and not any(trigger.pending for trigger in self.triggers)
        )

    def _next_change(self) -> int:
        """The next moment at which somebody has paid, or something is to be looked at."""
        owed = [self.debts[resource][who] for resource in RESOURCES for who in self._paying(resource)]
        checks = [trigger.next_check for trigger in self.triggers]
        return min([self.next_update, *(self.now + nanosecs for nanosecs in owed), *checks])

    def _paying(self, resource: str) -> list[int]:
        """Who gets on: all that wait; of those that want to run the first, as many as there are CPUs."""
        return self._runnable()[: self.nr_cpus] if resource == CPU else list(self.debts[resource])

    def _runnable(self) -> list[int]:
        """Who wants a CPU and waits for nothing else."""
        return [who for who in self.debts[CPU] if who not in self.debts[IO] and who not in self.debts[MEMORY]]

    def _step(self, end: int) -> None:
        for resource in RESOURCES:
            for kind, share in zip(KINDS, self._shares(resource), strict=True):
                self.stalls[resource, kind].lose(self.now, end, share)
        for resource, paying in [(resource, self._paying(resource)) for resource in RESOURCES]:
            self._pay(self.debts[resource], paying, end - self.now)
        self.now = end
        self._look()

    def _shares(self, resource: str) -> tuple[Share, Share]:
        """Of the time that those who are busy have, what some and what all lose to the resource."""
        productive = len(self._runnable())
        nonidle = productive + len(self.debts[IO].keys() | self.debts[MEMORY].keys())
        threads = max(min(nonidle, self.nr_cpus), 1)
        if resource == CPU:  # never full: somebody has the CPU
            return (min(max(productive - self.nr_cpus, 0), threads), threads), (0, 1)
        delayed = len(self.debts[resource])
        return (min(delayed, threads), threads), (min(delayed, max(threads - productive, 0)), threads)

    def _pay(self, debts: dict[int, int], paying: list[int], nanosecs: int) -> None:
        for who in paying:
            debts[who] -= nanosecs
            if debts[who] <= 0:
                del debts[who]

    def _look(self) -> None:
        periodic = self.now == self.next_update
        if periodic:
            for stall in self.stalls.values():
                stall.update(PERIOD_NANOSECS)
            self.next_update += PERIOD_NANOSECS
        for trigger in self.triggers:
            if periodic if trigger.with_averages else self.now >= trigger.next_check:
                trigger.update(self.now, self.stalls[trigger.resource, trigger.kind].total)


def stall(machine: Machine, nanosecs: int, *resources: str, who: int | None = None) -> None:
    """Whoever acts will have waited so long for each of the resources."""
    if nanosecs:
        process = machine.current.pid if who is None else who
        machine.psi.charge(machine.clock.microsecs, process, nanosecs, *resources)


def kswapd_lags(machine: Machine) -> bool:
    """Whether kswapd cannot be as far as it would have to be for whoever acts.

    What one does at once stands for work that takes time, and kswapd has that time, too.
    """
    machine.psi.advance(machine.clock.microsecs)
    busy = machine.psi.owes(KSWAPD) - machine.psi.owes(machine.current.pid)
    return busy > KSWAPD_LEAD_NANOSECS


def trigger_create(
    machine: Machine, resource: str, kind: str, lengths: tuple[int, int], *, averages: bool
) -> Trigger:
    """psi_trigger_create(): threshold and window in microseconds, in range; `averages` as in Trigger."""
    psi = machine.psi
    psi.advance(machine.clock.microsecs)
    threshold, window = (microsecs * 1000 for microsecs in lengths)
    trigger = Trigger(resource, kind, threshold, window, psi.now, psi.stalls[resource, kind].total, averages)
    psi.triggers.append(trigger)
    return trigger


def trigger_destroy(machine: Machine, trigger: Trigger) -> None:
    """psi_trigger_destroy()"""
    if trigger in machine.psi.triggers:
        machine.psi.triggers.remove(trigger)
