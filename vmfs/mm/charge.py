"""Which counters pages are in beside those of their list (include/linux/mm.h: add_mm_counter())."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmfs.kernel import Feature
from vmfs.mm import page_writeback
from vmfs.mm.lru import Batch, Use
from vmfs.mm.mmzone import Node, Zone
from vmfs.mm.vmstat import Item

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine
    from vmfs.mm.tasks import Task


def charge(machine: Machine, node: Node, batch: Batch, pages: int) -> None:
    """What a batch counts for beside its list; negative when it goes."""
    if batch.use is Use.ANON:
        node.mod_state(Item.NR_ANON_PAGES, pages)
    elif batch.use is not Use.UNKNOWN:
        node.mod_state(Item.NR_FILE_PAGES, pages)
    if batch.use is Use.SHMEM:
        node.mod_state(Item.NR_SHMEM, pages)
    elif batch.use is Use.SWAPCACHE:
        _count_swapcache(machine, node, pages)
    elif batch.use is Use.FILE and pages < 0:
        node.mod_state(Item.NR_FILE_HUGEPAGES, -batch.huge)
    elif batch.use is Use.BUFFERS:
        machine.buffers += pages
        machine.cache_free("buffer_head", -pages)  # where they go
    _count_rss(machine, node, batch, pages)


def uncharge(machine: Machine, node: Node, zone: Zone, batch: Batch) -> None:
    """A batch goes: its counts, and its dirt, which is written first."""
    charge(machine, node, batch, -batch.pages)
    if batch.dirty:
        page_writeback.write_back(machine, node, zone, batch)


def _count_swapcache(machine: Machine, node: Node, pages: int) -> None:
    """By node, or for all nodes together on old kernels."""
    if machine.kernel.has(Feature.NR_SWAPCACHED_PER_NODE):
        node.mod_state(Item.NR_SWAPCACHED, pages)
    else:
        machine.swapcache += pages


def _count_rss(machine: Machine, node: Node, batch: Batch, pages: int) -> None:
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
