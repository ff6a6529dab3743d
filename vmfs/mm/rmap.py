"""Whether pages have been used since reclaim last looked (mm/rmap.c: folio_referenced())."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from vmfs.mm.lru import Batch, Use

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine
    from vmfs.mm.tasks import Task


def used_again(task: Task, seconds: float) -> float:
    """The part of its memory that a task, which uses all of it at random, meets within that time."""
    return -math.expm1(-task.memory.touch * seconds / max(task.rss + task.swap, 1))


def folio_referenced(machine: Machine, batch: Batch) -> int:
    """Pages of a batch on an anonymous list that are to be kept.

    The use that brought a page into memory does not count, nor does any of a page in the swap cache.
    """
    task = batch.task
    if task is None or not task.memory.touch or batch.use not in (Use.ANON, Use.SHMEM):
        return 0
    seconds = (machine.clock.uptime_centisecs - batch.seen_centisecs) / 100
    return int(batch.pages * used_again(task, seconds))
