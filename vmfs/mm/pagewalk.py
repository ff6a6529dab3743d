"""What of each mapping of a task is in memory, and where (mm/pagewalk.c; fs/proc/task_mmu.c).

A page knows its task and not its address, so a task's pages are dealt out: those that a running
program touches come first, what is left is in the mapping that the task was told to have.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vmfs.mm import mmap
from vmfs.mm.lru import Batch, Lru, Use
from vmfs.mm.mmap import Vma
from vmfs.mm.mmzone import PAGE_SHIFT

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine
    from vmfs.mm.tasks import Task

_ACTIVE = (Lru.ACTIVE_ANON, Lru.ACTIVE_FILE)


@dataclass(slots=True)
class Share:
    """Pages of one use that a task has on one node."""

    nid: int
    pages: int = 0
    active: int = 0
    dirty: int = 0


@dataclass(slots=True)
class Mapped:
    """Pages of a mapping: struct mem_size_stats and struct numa_maps. Huge pages count whole in `huge`.

    Nobody else maps them; all have been referenced.
    """

    vma: Vma
    resident: int = 0
    swap: int = 0
    dirty: int = 0
    active: int = 0
    thp: int = 0
    huge: int = 0
    nodes: dict[int, int] = field(default_factory=dict)  # in huge pages where the mapping has them

    def take(self, share: Share, pages: int) -> None:
        """Move pages of a share here, the active and dirty ones first."""
        active, dirty = min(share.active, pages), min(share.dirty, pages)
        share.pages -= pages
        share.active -= active
        share.dirty -= dirty
        self.resident += pages
        self.active += active
        self.dirty += dirty
        self.nodes[share.nid] = self.nodes.get(share.nid, 0) + pages


def walk(machine: Machine, task: Task) -> list[Mapped]:
    """walk_page_range() over all mappings, in order of address."""
    found = [Mapped(vma) for vma in mmap.vmas(machine, task)]
    for use, held in _shares(machine, task).items():
        swapped = task.swapped.get(use, 0)
        places = [m for m in found if m.vma.use is use]
        _deal(task, sorted(places, key=lambda m: m.vma.touches is None), held, swapped)
    for mapped in found:
        if mapped.vma.hstate is not None:
            _count_huge(task, mapped)
        elif "hg" in mapped.vma.flags:
            mapped.thp = task.thp
    return found


def _shares(machine: Machine, task: Task) -> dict[Use, list[Share]]:
    """The task's pages by use and node, its own node first."""
    found: dict[Use, dict[int, Share]] = {Use.FILE: {}, Use.SHMEM: {}, Use.ANON: {}}
    nodes = sorted(machine.nodes, key=lambda node: node.nid != task.nid)
    for node in nodes:
        for zone in node.zones:
            for lru, queue in zip(Lru, zone.lru.lists, strict=True):
                flagged = lru is Lru.UNEVICTABLE or (lru in _ACTIVE and not machine.lru_gen.enabled)
                for batch in queue:
                    if batch.task is task and batch.use in found:
                        share = found[batch.use].setdefault(node.nid, Share(node.nid))
                        _add(share, batch, flagged)
    return {use: list(by_node.values()) for use, by_node in found.items()}


def _add(share: Share, batch: Batch, active: bool) -> None:
    """Anonymous pages and those of tmpfs are never clean: there is no copy of them elsewhere."""
    share.pages += batch.pages
    share.active += batch.pages if active else 0
    share.dirty += batch.dirty if batch.use is Use.FILE else batch.pages


def _deal(task: Task, places: list[Mapped], held: list[Share], swapped: int) -> None:
    left = sum(share.pages for share in held) + swapped
    for mapped in places:
        want = min(mmap.room(task, mapped.vma), left)
        left -= want
        for share in held:
            mapped.take(share, min(share.pages, want - mapped.resident))
        mapped.swap = want - mapped.resident
        mapped.nodes = {nid: mapped.nodes[nid] for nid in sorted(mapped.nodes) if mapped.nodes[nid]}


def _count_huge(task: Task, mapped: Mapped) -> None:
    """hugetlb pages are in no resident set size."""
    if task.hugetlb is None:
        return
    for segment in task.hugetlb.segments:
        count = segment.pages.pages >> task.hugetlb.hstate.order
        mapped.huge += count
        mapped.nodes[segment.nid] = mapped.nodes.get(segment.nid, 0) + count
    mapped.nodes = dict(sorted(mapped.nodes.items()))


def hugetlb_kbytes(task: Task) -> int:
    """hugetlb_report_usage()"""
    file = task.hugetlb
    return 0 if file is None else sum(s.pages.pages for s in file.segments) << (PAGE_SHIFT - 10)
