"""What the kernel does by itself as time passes, second by second (kernel/time/timer.c).

Work happens at whole seconds of uptime, however the time that passed was cut, and a second in which
nobody has anything to do costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from vmfs.mm import accesses, growth, kcompactd, khugepaged, kswapd, oom_kill, pcp_drain, writeback

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

SECOND_MICROSECS = 1_000_000


class Timer(NamedTuple):
    """`due(machine)` is the second of uptime at which `run(machine)` comes next, or None."""

    due: Callable[[Machine], int | None]
    run: Callable[[Machine], None]


def _next(machine: Machine) -> int:
    return machine.clock.microsecs // SECOND_MICROSECS + 1


def _every_second(busy: Callable[[Machine], bool]) -> Callable[[Machine], int | None]:
    return lambda machine: _next(machine) if busy(machine) else None


TIMERS = (
    Timer(_every_second(growth.is_due), growth.second),
    Timer(_every_second(accesses.is_due), accesses.second),
    Timer(writeback.due, writeback.wb_workfn),
    Timer(_every_second(kswapd.kswapd_is_behind), kswapd.recheck),
    Timer(_every_second(pcp_drain.is_due), pcp_drain.refresh_cpu_vm_stats),
    Timer(kcompactd.proactive_due, kcompactd.proactive_compact),
    Timer(khugepaged.due, khugepaged.khugepaged_do_scan),
    Timer(_every_second(oom_kill.is_starved), oom_kill.starve),
    Timer(oom_kill.reaper_due, oom_kill.oom_reaper),
)
"""In the order in which they run when several are due."""


def run_until(machine: Machine, end_microsecs: int) -> None:
    """Live through the time up to that moment."""
    clock = machine.clock
    while _next(machine) * SECOND_MICROSECS <= end_microsecs:
        planned = [(second, timer) for timer in TIMERS if (second := timer.due(machine)) is not None]
        if not planned:
            break
        now = max(min(second for second, _ in planned), _next(machine))
        if now * SECOND_MICROSECS > end_microsecs:
            break
        clock.microsecs = now * SECOND_MICROSECS
        for second, timer in planned:
            if second <= now and not machine.panicked:
                timer.run(machine)
        if machine.panicked:
            return  # time ends here
    clock.microsecs = end_microsecs
