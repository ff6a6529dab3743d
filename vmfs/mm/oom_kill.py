"""The OOM killer: who dies, and what the log says of it (mm/oom_kill.c, drivers/tty/sysrq.c).

A victim is gone at once. Memory control groups and cpusets do not exist: all tasks are in the root.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from vmfs.mm import (
    compaction,
    gfp,
    oom_control,
    oom_report,
    page_alloc,
    page_free,
    swapfile,
    vmscan,
    wmark,
)
from vmfs.mm.alloc_request import OutOfMemory, Parts, Request, gfp_highuser_movable
from vmfs.mm.current import KWORKER
from vmfs.mm.exit import exit_task
from vmfs.mm.oom_control import OomControl
from vmfs.mm.panic import panic
from vmfs.mm.printk import SECOND, Level
from vmfs.mm.vmstat import Item

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine
    from vmfs.mm.tasks import Task

OOM_SCORE_ADJ_MIN = -1000
RATELIMIT = 5 * SECOND, 10  # DEFAULT_RATELIMIT_INTERVAL, DEFAULT_RATELIMIT_BURST
PANIC_ALWAYS = 2
REAPER_DELAY_MICROSECS = 2 * SECOND
ZAP_NANOSECS = 400  # to free one page of a victim


def oom_badness(machine: Machine, task: Task, totalpages: int | None = None) -> int | None:
    """Pages the task holds, moved by oom_score_adj; None for one that must not be chosen."""
    if task.oom_score_adj == OOM_SCORE_ADJ_MIN:
        return None
    if totalpages is None:
        totalpages = machine.totalram_pages + swapfile.total_swap_pages(machine)
    return task.rss + task.swap + task.page_tables + task.oom_score_adj * (totalpages // 1000)


def set_oom_adj(machine: Machine, task: Task, value: int) -> None:
    """__set_oom_adj(): PermissionError when the caller may not go as low."""
    capable = machine.current.uid == 0
    if value < task.oom_score_adj_min and not capable:
        raise PermissionError
    task.oom_score_adj = value
    if capable:
        task.oom_score_adj_min = value


def _select_bad_process(machine: Machine, oc: OomControl) -> Task | None:
    """The highest badness; of equals the latest."""
    total = oom_control.totalpages(machine, oc)
    scored = ((oom_badness(machine, task, total), task.pid) for task in oom_control.eligible(machine, oc))
    best = max(((score, pid) for score, pid in scored if score is not None), default=None)
    return machine.tasks[best[1]] if best else None


def out_of_memory(machine: Machine, oc: OomControl) -> Task | None:
    """Kill one task; None when there is none to kill. Panic, where that is the setting or the only end."""
    _check_panic_on_oom(machine, oc)
    task = oc.task
    if machine.sysctl.oom_kill_allocating_task and task and task.oom_score_adj != OOM_SCORE_ADJ_MIN:
        _oom_kill_process(machine, oc, task, "Out of memory (oom_kill_allocating_task)")
        return task
    victim = _select_bad_process(machine, oc)
    if victim is not None:
        _oom_kill_process(machine, oc, victim, "Out of memory")
    elif task is not None or oc.is_sysrq_oom:
        oom_report.dump_header(machine, oc, None)
        machine.printk(Level.WARNING, "Out of memory and no killable processes...")
        if task is not None:
            raise _panic(machine, oc, "System is deadlocked on memory")
    return victim


def _check_panic_on_oom(machine: Machine, oc: OomControl) -> None:
    setting = machine.sysctl.panic_on_oom
    if oc.is_sysrq_oom or not setting or (setting != PANIC_ALWAYS and oom_control.constrained(machine, oc)):
        return
    oom_report.dump_header(machine, oc, None)
    kind = "compulsory" if setting == PANIC_ALWAYS else "system-wide"
    raise _panic(machine, oc, f"Out of memory: {kind} panic_on_oom is enabled")


def _panic(machine: Machine, oc: OomControl, message: str) -> Exception:
    return panic(machine, message, oc.current, oc.cpu, oc.cause)


def _oom_kill_process(machine: Machine, oc: OomControl, victim: Task, message: str) -> None:
    if machine.log.ratelimit("oom_kill_process", *RATELIMIT, machine.clock.microsecs):
        oom_report.dump_header(machine, oc, victim)
    machine.count_event(Item.OOM_KILL, 1)
    machine.printk(Level.ERR, oom_report.killed(machine, message, victim))
    _wake_oom_reaper(machine, victim)
    exit_task(machine, victim, killed=True)


def _wake_oom_reaper(machine: Machine, victim: Task) -> None:
    """Who takes longer than the reaper waits is told to have been reaped."""
    if victim.rss * ZAP_NANOSECS // 1000 > REAPER_DELAY_MICROSECS:
        due = machine.clock.microsecs + REAPER_DELAY_MICROSECS
        machine.reaped.append((-(-due // SECOND), oom_report.reaped(victim)))


def reaper_due(machine: Machine) -> int | None:
    """The second at which the reaper has done with its next victim."""
    return machine.reaped[0][0] if machine.reaped else None


def oom_reaper(machine: Machine) -> None:
    """oom_reap_task(): tells of those it is done with."""
    now = machine.clock.microsecs // SECOND
    while machine.reaped and machine.reaped[0][0] <= now:
        machine.printk(Level.INFO, machine.reaped.pop(0)[1])
    machine.touch()


def moom_callback(machine: Machine) -> Task | None:
    """sysrq-f"""
    machine.printk(Level.INFO, "sysrq: Manual OOM execution")
    cpu = machine.hardware.online_cpus[0]
    oc = OomControl(KWORKER, None, gfp.GFP_KERNEL, -1, machine.zone_index("Normal"), cpu)
    victim = out_of_memory(machine, oc)
    if victim is None:
        machine.printk(Level.INFO, "OOM request ignored. No task eligible")
    return victim


def alloc_in_turns(machine: Machine, request: Request, task: Task | None = None) -> Iterator[Parts]:
    """__alloc_pages_may_oom(): what there is, and what reclaim and the killer bring after that.

    What was yielded is the caller's, who puts it to use before asking for more. OutOfMemory where
    there is nobody to kill or `task`, which asks, is itself the victim.
    """
    left = request.count
    while left:
        try:
            parts = page_alloc.alloc_pages(machine, replace(request, count=left))
        except OutOfMemory as short:
            parts = short.parts
        left -= sum(extents.pages for _, extents in parts) >> request.order
        if parts:
            yield parts
        elif not _kill_for(machine, request, task):
            raise OutOfMemory([])


def _kill_for(machine: Machine, request: Request, task: Task | None) -> bool:
    """Whether somebody else was killed for it."""
    current, cpu = machine.current, machine.cpu_of(request.cpu_nid or request.nid)
    nids = (request.nid,) if request.thisnode else None
    oc = OomControl(current, task, request.gfp_mask, request.order, request.highest_zoneidx, cpu, nids)
    if request.order > compaction.COSTLY_ORDER:
        oom_report.warn_alloc(machine, oc)
        return False
    vmscan.give_up(machine, request)
    victim = out_of_memory(machine, oc)
    return victim is not None and victim is not task


def alloc_pages_may_oom(machine: Machine, request: Request, task: Task | None = None) -> Parts:
    """All of a request, or OutOfMemory and nothing taken. `task` as for alloc_in_turns()."""
    got: Parts = []
    try:
        for parts in alloc_in_turns(machine, request, task):
            got += parts
    except OutOfMemory:
        page_free.free_by_zone(machine, got, request.order)
        raise
    return got


def is_starved(machine: Machine) -> bool:
    """Whether tasks run and no zone can give one of them a page."""
    highest = machine.zone_index("Movable")
    zones = (zone for _, zone in machine.zones() if zone.managed_pages and zone.index <= highest)
    return bool(machine.tasks) and not any(wmark.has_page(zone, highest) for zone in zones)


def starve(machine: Machine) -> None:
    """A task that runs faults in a page now and then; where it finds none, the killer comes."""
    task = next(iter(machine.tasks.values()), None)
    if task is None:
        return  # the same second killed the last one
    request = gfp_highuser_movable(machine, task.nid, 1, zeroed=True)
    with suppress(OutOfMemory), machine.acting(task.current):
        for parts in alloc_in_turns(machine, request, task):
            page_free.free_by_zone(machine, parts)
    machine.touch()
