"""What a task has in memory, and the counters of mapped pages (include/linux/mm.h: add_mm_counter())."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmfs.mm.lru import Batch, Use
from vmfs.mm.mmzone import Node
from vmfs.mm.vmstat import Item

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine
    from vmfs.mm.tasks import Task


def count_rss(machine: Machine, node: Node, batch: Batch, pages: int) -> None:
    """add_mm_counter(), and the counters of mapped pages; pages of huge ones end split."""
    if (task := batch.task) is None or batch.use is Use.SWAPCACHE:
        return
    if pages < 0:
        task.hiwater_rss = max(task.hiwater_rss, task.rss)  # update_hiwater_rss()
    if batch.use is Use.ANON:
        task.anon += pages
        if task.thp > task.anon:
            split_thp(machine, task, task.thp - task.anon)
        return
    node.mod_state(Item.NR_MAPPED, pages)
    if batch.use is Use.FILE:
        task.file += pages
    else:
        task.shmem += pages


def split_thp(machine: Machine, task: Task, pages: int) -> None:
    """Huge pages end; which node they were on is known only as a sum, so the fullest loses them."""
    item = Item.NR_ANON_TRANSPARENT_HUGEPAGES
    task.thp -= pages
    for node in sorted(machine.nodes, key=lambda n: (n.nid != task.nid, -n.page_state(item))):
        share = min(pages, node.page_state(item))
        node.mod_state(item, -share)
        pages -= share
