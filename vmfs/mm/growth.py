"""Tasks whose memory grows: what one second brings all of them, counted together.

While a zone is far from its watermarks, growth is arithmetic on counters (vmfs/mm/fresh.py holds
the frames back). Where it is not, every task faults for itself, and kswapd, direct reclaim and the
OOM killer do to it what they do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from vmfs.kernel import Feature
from vmfs.mm import kernel_pages, memory, mempolicy, mmap, pgtable, rmqueue, util, wmark
from vmfs.mm.alloc_request import OutOfMemory
from vmfs.mm.exit import exit_task
from vmfs.mm.lru import Lru, Use, update_lru_size
from vmfs.mm.mmzone import PAGE_SHIFT, MigrateType, Zone
from vmfs.mm.vmstat import Item
from vmfs.mm.zonelist import zonelist

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine
    from vmfs.mm.tasks import Task

Counts = npt.NDArray[np.int64]

TABLE_BYTES = 1 << 21  # what the smallest page table maps


@dataclass(slots=True, eq=False)
class Growers:
    """The growing tasks of one node, as columns."""

    zone: Zone
    tasks: list[Task]
    rate: npt.NDArray[np.float64]
    carry: npt.NDArray[np.float64]  # Task.grown
    mapped: Counts  # pages of the anonymous mapping
    end: Counts  # its last address but one
    tables: tuple[Counts, ...]  # boundaries of tables inside it, by level
    until: Counts  # pages mapped before the next table
    free: int = 0  # pages that may be promised before the zone is at its low watermark
    movable: int = 0  # of these, on the lists of their type
    unmovable: int = 0

    @classmethod
    def of(cls, machine: Machine, zone: Zone, growing: list[Task]) -> Growers:
        mapped = np.array([mmap.mapped(task, Use.ANON) for task in growing])
        known = [growers for growers in machine.growth.together if growers.tasks == growing]
        # A mapping that grows downwards keeps its end.
        end = known[0].end if known else np.array([mmap.layout(machine, task).anon_end for task in growing])
        growers = cls(
            zone,
            growing,
            np.array([task.memory.grow for task in growing]),
            np.array([task.grown for task in growing]),
            mapped,
            end,
            pgtable.spanned(machine.kernel, end, mapped),
            mapped,
        )
        growers.look(machine)
        return growers

    def look(self, machine: Machine) -> None:
        """What the zone has to promise now."""
        zone = self.zone
        reserve = zone.lowmem_reserve[machine.zone_index("Movable")]
        self.free = zone.free_pages - wmark.low_wmark_pages(zone) - reserve - 1
        self.movable = zone.buddy.free_pages_of(MigrateType.MOVABLE) - zone.fresh.movable
        self.unmovable = zone.buddy.free_pages_of(MigrateType.UNMOVABLE) - zone.fresh.unmovable

    def tables_of(self, machine: Machine, mapped: Counts) -> tuple[Counts, ...]:
        """`tables` with so much mapped: the same as long as nobody leaves its lowest table."""
        if (mapped <= self.until).all():
            return self.tables
        room = ((self.end - (mapped << PAGE_SHIFT)) & (TABLE_BYTES - 1)) >> PAGE_SHIFT
        self.until = mapped + room
        return pgtable.spanned(machine.kernel, self.end, mapped)


@dataclass(slots=True, eq=False)
class Growth:
    """Who grows: together, by node, or alone. True as long as `generation` is the machine's."""

    generation: int = -1
    together: list[Growers] = field(default_factory=list)
    alone: list[Task] = field(default_factory=list)

    @classmethod
    def of(cls, machine: Machine) -> Growth:
        plan = cls(machine.generation)
        growing = [task for task in machine.tasks.values() if task.memory.grow]
        for nid in sorted({task.nid for task in growing}):
            group = [task for task in growing if task.nid == nid and _joins(task)]
            zone = _zone(machine, nid)
            if group and zone is not None:
                plan.together.append(Growers.of(machine, zone, group))
        joined = {task for growers in plan.together for task in growers.tasks}
        plan.alone = [task for task in growing if task not in joined]
        return plan


def _joins(task: Task) -> bool:
    """Small pages of the task's own node that can be reclaimed, in a mapping that is there already."""
    memory = task.memory
    spreads = memory.policy == mempolicy.INTERLEAVE
    return not (spreads or memory.mlock or memory.thp) and mmap.mapped(task, Use.ANON) > 0


def _zone(machine: Machine, nid: int) -> Zone | None:
    """The zone of the node that both user pages and page tables come from first, if it is one."""
    first = zonelist(machine, nid, machine.zone_index("Movable"))[0]
    kernel = zonelist(machine, nid, machine.zone_index("Normal"))[0]
    return first if first.nid == nid and first is kernel else None


def is_due(machine: Machine) -> bool:
    """Whether any task grows."""
    return any(task.memory.grow for task in machine.tasks.values())


def second(machine: Machine) -> None:
    """Every task that grows touches what this second brings."""
    if machine.growth.generation != machine.generation:
        machine.growth = Growth.of(machine)
    plan = machine.growth
    refused = [task for growers in plan.together if not _together(machine, growers) for task in growers.tasks]
    before = len(machine.tasks)
    for task in plan.alone + refused:
        _alone(machine, task)
    machine.topology += len(machine.tasks) != before
    machine.touch()
    if not plan.alone and not refused:
        plan.generation = machine.generation


def _alone(machine: Machine, task: Task) -> None:
    """One task touches what a second brings; where there is no memory left, it ends."""
    task.grown += task.memory.grow
    pages = int(task.grown)
    task.grown -= pages
    if not pages or task.pid not in machine.tasks:
        return
    with machine.acting(task.current._replace(is_paced=True)):
        _fault_in(machine, task, pages)


def _fault_in(machine: Machine, task: Task, pages: int) -> None:
    try:
        total_vm = mmap.sizes(mmap.vmas(machine, task)).total_vm
        util.security_vm_enough_memory_mm(machine, [pages], task.uid, total_vm)
    except OutOfMemory:
        return  # mmap() says ENOMEM, and it lives on with what it has
    try:
        util.vm_acct_memory(machine, task, pages)
        pgtable.map_page_tables(machine, task, pages)
        memory.fault(machine, task, Use.ANON, pages)
    except OutOfMemory:
        if task.pid in machine.tasks and not machine.panicked:
            exit_task(machine, task)


def _together(machine: Machine, growers: Growers) -> bool:
    """Promise what all of them want; False, and nothing done, where the zone is too short of pages."""
    grown = growers.carry + growers.rate
    pages = grown.astype(np.int64)
    mapped = growers.mapped + pages
    tables = growers.tables_of(machine, mapped)
    new = [] if tables is growers.tables else [b - a for a, b in zip(growers.tables, tables, strict=True)]
    want, more = int(pages.sum()), sum(int(level.sum()) for level in new)
    if want + more > growers.free or want > growers.movable:
        return False
    if not machine.kernel.has(Feature.PUD_TABLES_COUNTED) and any(level.any() for level in new[2:]):
        return False
    if not _may_commit(machine, want):
        return False
    _make_tables(machine, growers, more)
    _count(machine, growers, want)
    growers.carry, growers.mapped, growers.tables = grown - pages, mapped, tables
    _share_out(growers, pages)
    if new:
        _add_tables(growers, new)
    return True


def _share_out(growers: Growers, pages: Counts) -> None:
    shares = growers.zone.fresh.shares
    for task, count, carry in zip(growers.tasks, pages.tolist(), growers.carry.tolist(), strict=True):
        task.grown = carry
        if count:
            task.anon += count
            task.committed += count
            shares[task] = shares.get(task, 0) + count


def _add_tables(growers: Growers, new: list[Counts]) -> None:
    for task, *levels in zip(growers.tasks, *(level.tolist() for level in new), strict=True):
        if any(levels):
            task.tables = task.tables.plus(levels)


def _may_commit(machine: Machine, pages: int) -> bool:
    """Whether overcommit is sure to allow it; near the limit each task asks for itself."""
    if machine.sysctl.overcommit_memory != util.OVERCOMMIT_NEVER:
        return True
    reserves = machine.sysctl.user_reserve_kbytes + machine.sysctl.admin_reserve_kbytes
    return machine.committed_as + pages < util.commit_limit(machine) - (reserves >> util.KBYTES_SHIFT)


def _make_tables(machine: Machine, growers: Growers, tables: int) -> None:
    """Promised too, as long as the list of their type lasts; then they are asked for, which refills it."""
    zone = growers.zone
    if tables > growers.unmovable:
        kernel_pages.alloc_other(machine, zone.nid, tables)
        growers.look(machine)
    elif tables:
        zone.fresh.unmovable += tables
        _count_alloc(machine, zone, tables)
        growers.free -= tables
        growers.unmovable -= tables
    if tables:
        pgtable.mod_page_tables(machine, zone.nid, tables)


def _count(machine: Machine, growers: Growers, pages: int) -> None:
    """What as many faults would have counted."""
    zone, node = growers.zone, machine.node(growers.zone.nid)
    _promise(machine, zone, pages)
    update_lru_size(node, zone, machine.new_anon_list, pages)
    node.mod_state(Item.NR_ANON_PAGES, pages)
    machine.committed_as += pages
    machine.count_event(Item.PGFAULT, pages)
    _count_alloc(machine, zone, pages)
    growers.free -= pages
    growers.movable -= pages


def _count_alloc(machine: Machine, zone: Zone, pages: int) -> None:
    machine.count_event(Item[f"PGALLOC_{zone.event_name}"], pages)
    rmqueue.zone_statistics(machine, zone, zone, zone.nid, pages)


def _promise(machine: Machine, zone: Zone, pages: int) -> None:
    which: Lru = machine.new_anon_list
    if zone.fresh.shares and zone.fresh.which is not which:
        zone.fresh.settle(zone)
    zone.fresh.which = which
    zone.fresh.movable += pages
