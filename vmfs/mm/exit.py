"""A task exits, or is killed (kernel/exit.c, mm/mmap.c: exit_mmap())."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from vmfs.kernel import Feature
from vmfs.mm import kernel_pages, lru, page_free, pcp_free, pgtable, swapfile, util
from vmfs.mm.charge import charge
from vmfs.mm.lru import Batch, Lru, Use
from vmfs.mm.mmzone import Zone
from vmfs.mm.vmstat import Item
from vmfs.mm.zonelist import zonelist

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine
    from vmfs.mm.tasks import Task


def exit_task(machine: Machine, task: Task, *, killed: bool = False) -> None:
    """do_exit(): all the task holds is freed; pages of its files stay in the page cache.

    The pages of who was `killed` are freed by the OOM reaper, beside it.
    """
    with machine.acting(task.current):
        freed = _exit_mm(machine, task)
    if task.hugetlb is not None:
        task.hugetlb.release(machine)
    swapfile.free_swap_pages(machine, task.swap)
    util.vm_acct_memory(machine, task, -task.committed)
    pgtable.free_pgtables(machine, task)
    kernel_pages.account_kernel_stack(machine, task, -machine.kernel.thread_size_kbytes)
    if not killed:
        _free_last(machine, task, freed)
    del machine.tasks[task.pid]
    machine.topology += 1


def _free_last(machine: Machine, task: Task, freed: Counter[Zone]) -> None:
    """A task's last block is larger than a page: after a long row of frees its CPU's list goes with it."""
    zone = zonelist(machine, task.nid, machine.zone_index("Normal"))[0]
    if machine.kernel.has(Feature.PCP_FREE_HIGH_AT_EXIT) and freed[zone] > zone.pageset_high_min:
        pcp_free.empty(machine, zone, task.cpu)


def _exit_mm(machine: Machine, task: Task) -> Counter[Zone]:
    """exit_mmap(); returns the pages freed, by zone."""
    freed: Counter[Zone] = Counter()
    for node, zone in machine.zones():
        for batch in lru.remove_task(node, zone, task):
            if task.memory.mlock:
                zone.mod_state(Item.NR_MLOCK, -batch.pages)
                machine.count_event(Item.UNEVICTABLE_PGS_MUNLOCKED, batch.pages)
                machine.count_event(Item.UNEVICTABLE_PGS_RESCUED, batch.pages)
            charge(machine, node, batch, -batch.pages)
            if batch.use is Use.FILE:
                kept = Batch(Use.FILE, batch.extents)
                charge(machine, node, kept, kept.pages)
                lru.add(node, zone, Lru.INACTIVE_FILE, kept)
            else:
                page_free.free_pages(machine, zone, batch.extents)
                freed[zone] += batch.pages
    return freed
