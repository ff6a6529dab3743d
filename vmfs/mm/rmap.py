"""Whether pages have been used since reclaim last looked (mm/rmap.c: folio_referenced())."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from vmfs.mm.extents import Extents
from vmfs.mm.lru import Batch, Use

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine
    from vmfs.mm.tasks import Task


def used_again(task: Task, seconds: float, pages: int = 1) -> float:
    """The part of its memory that a task, which uses all of it at random, meets within that time.

    What is used of `pages` that stand together is used of all.
    """
    return -math.expm1(-task.memory.touch * seconds * pages / max(task.rss + task.swap + task.lost, 1))


def mapped(machine: Machine, use: Use, extents: Extents, task: Task) -> Batch:
    """Pages that a task faults in: their use is in its page table."""
    batch = Batch(use, extents, task, accessed=True)
    _look(machine, batch)
    return batch


def folio_referenced(machine: Machine, batch: Batch) -> int:
    """Pages of a batch that were used since reclaim last looked.

    The use that brought a page into memory counts; none counts of a page in the swap cache.
    """
    task = batch.task
    if task is None or batch.use is Use.SWAPCACHE:
        return 0
    if batch.accessed:
        return batch.pages
    if not task.memory.touch:
        return 0
    seconds = (machine.clock.uptime_centisecs - batch.seen_centisecs) / 100
    return int(batch.pages * used_again(task, seconds))


def clear_accessed(machine: Machine, batch: Batch) -> None:
    """ptep_clear_young(): reclaim has looked, and will see what is used from now on."""
    batch.accessed = False
    _look(machine, batch)


def _look(machine: Machine, batch: Batch) -> None:
    """From now on. Of a task that uses its memory once it makes no difference, and batches can be joined."""
    if batch.task is not None and batch.task.memory.touch:
        batch.seen_centisecs = machine.clock.uptime_centisecs
