"""The OOM killer: who dies (mm/oom_kill.c)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vmfs.mm import compaction, page_alloc, swapfile, tasks
from vmfs.mm.vmstat import Item

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine
    from vmfs.mm.tasks import Task


def oom_badness(machine: Machine, task: Task) -> int | None:
    """Pages the task holds, moved by oom_score_adj; None for one that must not be chosen."""
    if task.oom_score_adj == -1000:
        return None
    total = machine.totalram_pages + swapfile.total_swap_pages(machine)
    return task.rss + task.swap + task.page_tables + task.oom_score_adj * (total // 1000)


def select_bad_process(machine: Machine) -> Task | None:
    """The highest badness; of equals the latest."""
    scored = ((oom_badness(machine, task), pid) for pid, task in machine.tasks.items())
    best = max(((score, pid) for score, pid in scored if score is not None), default=None)
    return machine.tasks[best[1]] if best else None


def out_of_memory(machine: Machine) -> Task | None:
    """Kill one task; None when there is none to kill."""
    victim = select_bad_process(machine)
    if victim is not None:
        machine.count_event(Item.OOM_KILL, 1)
        tasks.exit_task(machine, victim)
    return victim


def alloc_pages_may_oom(
    machine: Machine, request: page_alloc.Request, current: Task | None = None
) -> page_alloc.Parts:
    """__alloc_pages_may_oom(): kill and try again, until it fits or the caller itself is the victim."""
    parts: page_alloc.Parts = []
    while True:
        left = request.count - (sum(extents.pages for _, extents in parts) >> request.order)
        try:
            return parts + page_alloc.alloc_pages(machine, replace(request, count=left))
        except page_alloc.OutOfMemory as short:
            parts += short.parts
        victim = out_of_memory(machine) if request.order <= compaction.COSTLY_ORDER else None
        if victim is None or victim is current:
            page_alloc.free_by_zone(machine, parts, request.order)
            raise page_alloc.OutOfMemory([])
