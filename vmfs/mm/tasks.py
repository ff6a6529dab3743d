"""The simulated processes whose memory is charged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vmfs.mm import filemap, lru, oom_kill, page_alloc, swapfile
from vmfs.mm.extents import Extents
from vmfs.mm.lru import Batch, Use
from vmfs.mm.mmzone import Zone
from vmfs.mm.vmstat import Item

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

PTRS_PER_PAGE = 512
KERNEL_STACK_KBYTES = 16
FIRST_PID = 1000


@dataclass(slots=True, eq=False)
class Task:
    """A process. `anon` pages are mapped and touched, `swap` of them are swapped out."""

    pid: int
    name: str
    nid: int
    anon: int = 0
    swap: int = 0
    page_tables: int = 0
    oom_score_adj: int = 0
    uid: int = 0

    @property
    def rss(self) -> int:
        return self.anon - self.swap


def start(machine: Machine, name: str, anon: int, nid: int, bind: bool, oom_score_adj: int = 0) -> Task:
    """A task that maps and touches `anon` pages; OutOfMemory leaves the machine as it was."""
    task = Task(machine.next_pid, name, nid, oom_score_adj=oom_score_adj)
    machine.tasks[task.pid] = task
    machine.next_pid += 1
    try:
        _kernel_side(machine, task, anon)
        fault_anon(machine, task, anon, bind)
    except page_alloc.OutOfMemory:
        if task.pid in machine.tasks:
            exit_task(machine, task)
        raise
    return task


def _kernel_side(machine: Machine, task: Task, anon: int) -> None:
    """Page tables, stack and the commitment of the mapping."""
    task.page_tables = -(-anon // PTRS_PER_PAGE) + -(-anon // PTRS_PER_PAGE**2) + 3
    request = page_alloc.gfp_kernel(machine, task.nid, task.page_tables + KERNEL_STACK_KBYTES // 4)
    for zone, extents in machine.alloc_pages(request):
        zone.other = Extents.concat([zone.other, extents])
    node = machine.node(task.nid)
    machine.mod_page_tables(node, task.page_tables)
    node.mod_state(Item.NR_KERNEL_STACK, KERNEL_STACK_KBYTES)


def fault_anon(machine: Machine, task: Task, pages: int, bind: bool = False) -> None:
    """do_anonymous_page() on that many pages."""
    machine.committed_as += pages
    for portion in page_alloc.portions(machine, pages):
        request = replace(page_alloc.gfp_highuser_movable(machine, task.nid, portion), thisnode=bind)
        for zone, extents in oom_kill.alloc_pages_may_oom(machine, request, task):
            node = machine.node(zone.nid)
            batch = Batch(Use.ANON, extents, task)
            filemap.charge(machine, node, batch, batch.pages)
            lru.add(node, zone, machine.new_anon_list, batch)
        task.anon += portion
    machine.count_event(Item.PGFAULT, pages)


def exit_task(machine: Machine, task: Task) -> None:
    """do_exit(): everything the task holds is freed."""
    for node, zone in machine.zones():
        for batch in lru.remove_task(node, zone, task):
            filemap.charge(machine, node, batch, -batch.pages)
            page_alloc.free_pages(machine, zone, batch.extents)
    swapfile.free_swap_pages(machine, task.swap)
    machine.committed_as -= task.anon
    node = machine.node(task.nid)
    machine.mod_page_tables(node, -task.page_tables)
    node.mod_state(Item.NR_KERNEL_STACK, -KERNEL_STACK_KBYTES)
    free_other(machine, task.nid, task.page_tables + KERNEL_STACK_KBYTES // 4)
    del machine.tasks[task.pid]


def free_other(machine: Machine, nid: int, pages: int) -> None:
    """Kernel pages go back, the newest first, from the node's zones and then from the others."""
    nodes = [machine.node(nid), *(node for node in machine.nodes if node.nid != nid)]
    zones: list[Zone] = [zone for node in nodes for zone in reversed(node.zones)]
    for zone in zones:
        kept, gone = zone.other.take(max(zone.other.pages - pages, 0))
        zone.other = kept
        page_alloc.free_pages(machine, zone, gone)
        pages -= gone.pages
