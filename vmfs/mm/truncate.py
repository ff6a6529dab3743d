"""Pages that leave their files, all at once (mm/truncate.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmfs.mm import filemap, lru, page_free, workingset
from vmfs.mm.charge import charge
from vmfs.mm.lru import Lru, Use
from vmfs.mm.mmzone import Node, Zone
from vmfs.mm.vmstat import Item

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine


def drop_file_pages(machine: Machine, pages: int) -> int:
    """invalidate_mapping_pages() of files with that many pages, the least recently used first.

    Returns how many went, which leaves out the dirty ones. Which file pages are mapped is not kept;
    those beyond the shared memory are taken to be the most recently used.
    """
    left = pages
    for which in (Lru.INACTIVE_FILE, Lru.ACTIVE_FILE):
        for node in machine.nodes:
            left -= _drop_lists(machine, node, which, left)
    dropped = pages - left
    machine.vfs.pages_dropped(dropped, filemap.file_lru_pages(machine))
    workingset.drop(machine, dropped, filemap.file_lru_pages(machine))
    return dropped


def mapped_by_nobody(node: Node) -> int:
    """Mapped pages of files and of tmpfs of no task here: those of the processes a capture did not show."""
    return max(node.page_state(Item.NR_MAPPED) - _of_tasks(node, Use.FILE) - _of_tasks(node, Use.SHMEM), 0)


def _mapped_files(node: Node) -> int:
    """Those of files: what is in tmpfs is taken to be mapped first."""
    shared = node.page_state(Item.NR_SHMEM) - _of_tasks(node, Use.SHMEM)
    return max(mapped_by_nobody(node) - shared, 0)


def _of_tasks(node: Node, use: Use) -> int:
    queues = (queue for zone in node.zones for queue in zone.lru.lists)
    return sum(batch.pages for queue in queues for batch in queue if batch.task and batch.use is use)


def _drop_lists(machine: Machine, node: Node, which: Lru, limit: int) -> int:
    """Up to `limit` pages of a list, of all zones; mapped ones stay, which are active if enough pages are."""
    mapped, active = _mapped_files(node), lru.node_lru_size(node, Lru.ACTIVE_FILE)
    keep = min(mapped, active) if which is Lru.ACTIVE_FILE else max(mapped - active, 0)
    dropped = 0
    for zone in reversed(node.zones):
        kept = min(keep, lru.lru_size(zone, which))
        keep -= kept
        dropped += _drop_list(machine, node, zone, which, kept, limit - dropped)
    return dropped


def _drop_list(machine: Machine, node: Node, zone: Zone, which: Lru, keep: int, limit: int) -> int:
    """Returns the pages dropped; the last `keep` and all dirty ones stay on the list."""
    dropped = 0
    for batch in lru.take(
        node, zone, which, min(max(lru.lru_size(zone, which) - keep, 0), limit), mapped=False
    ):
        clean = batch.pages - batch.dirty
        gone = lru.split(batch, clean) if batch.dirty else batch
        if batch.dirty:
            lru.add(node, zone, which, batch)
        if clean:
            charge(machine, node, gone, -clean)
            page_free.free_pages(machine, zone, gone.extents)
            dropped += clean
    return dropped
