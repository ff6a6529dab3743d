"""The simulated processes whose memory is charged (kernel/fork.c, kernel/exit.c, mm/memory.c)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from vmfs.kernel import Feature
from vmfs.mm import (
    alloc_request,
    filemap,
    lru,
    mempolicy,
    mmap,
    oom_kill,
    page_alloc,
    page_free,
    pgtable,
    psi,
    rmap,
    swapfile,
    util,
)
from vmfs.mm.current import Current
from vmfs.mm.extents import Extents
from vmfs.mm.hugetlbfs import HugetlbFile, NoHugePages
from vmfs.mm.lru import Batch, Lru, Use
from vmfs.mm.mmzone import MIGRATE_PCPTYPES, Zone
from vmfs.mm.pgtable import NO_TABLES, Tables
from vmfs.mm.shadow import Shadows
from vmfs.mm.vmstat import Item
from vmfs.mm.zonelist import zonelist

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

FIRST_PID = 1000


@dataclass(frozen=True, slots=True)
class Memory:
    """What a task maps and touches: pages, and huge pages of the default size.

    `thp` asks for transparent huge pages, `mlock` for all of it to stay in memory. `nid` is where
    it runs, or the node of its policy; `grow` pages of anonymous memory come a second, and so often
    does it `touch` a page of what it has.
    """

    anon: int = 0
    file: int = 0
    shmem: int = 0
    huge: int = 0
    thp: bool = False
    mlock: bool = False
    nid: int | None = None
    policy: str = mempolicy.LOCAL
    grow: float = 0.0
    touch: float = 0.0


@dataclass(slots=True, eq=False)
class Task:
    """A process on node `nid`: pages it has mapped that are in memory, and those swapped out."""

    pid: int
    name: str
    nid: int
    memory: Memory = field(default_factory=Memory)
    cpu: int = 0
    oom_score_adj: int = 0
    uid: int = 0
    anon: int = 0
    file: int = 0
    shmem: int = 0
    shadows: Shadows = field(default_factory=Shadows)  # of what is swapped out
    swapped: dict[Use, int] = field(default_factory=dict)
    thp: int = 0  # of the anonymous pages, those in huge ones
    tables: Tables = NO_TABLES
    committed: int = 0
    hiwater_rss: int = 0  # the most it had in memory before it lost some
    oom_score_adj_min: int = 0  # what a process without CAP_SYS_RESOURCE may go down to
    started_centisecs: int = 0
    grown: float = 0.0  # part of a page that is still to come
    touched: float = 0.0  # part of a page of swap that is still to be touched
    hugetlb: HugetlbFile | None = None

    @property
    def current(self) -> Current:
        """The task as whoever acts."""
        return Current(self.name, self.pid, self.uid, self.oom_score_adj, self.cpu)

    @property
    def rss(self) -> int:
        return self.anon + self.file + self.shmem

    @property
    def swap(self) -> int:
        return sum(self.swapped.values())

    @property
    def page_tables(self) -> int:
        """Pages of tables, as VmPTE and the OOM killer count them."""
        return self.tables.mm_pgtables


def init(machine: Machine) -> Task:
    """The first process: it has touched nothing that a capture tells, and nothing kills it."""
    return Task(1, "/sbin/init", machine.default_nid)


def start(machine: Machine, name: str, memory: Memory, oom_score_adj: int = 0, uid: int = 0) -> Task:
    """A task that has touched its memory.

    OutOfMemory when overcommit refuses it or the OOM killer chose it, NoHugePages when the pool is
    too small: then the task is gone again and its memory is free.
    """
    nid = machine.default_nid if memory.nid is None else memory.nid
    pid = machine.given_pids[0] if machine.given_pids else machine.next_pid
    task = Task(pid, name, nid, memory, idlest_cpu(machine, nid), oom_score_adj, uid)
    with machine.acting(task.current):
        _start(machine, task)
    return task


def idlest_cpu(machine: Machine, nid: int) -> int:
    """find_idlest_group_cpu(): that with the fewest tasks; on the node's first one is who starts it."""
    near = mempolicy.numa_node_id(machine, nid)
    cpus = machine.node(near).cpus or machine.hardware.online_cpus
    tasks = Counter(task.cpu for task in machine.tasks.values())
    return min((*cpus[1:], cpus[0]), key=lambda cpu: tasks[cpu])


def _start(machine: Machine, task: Task) -> None:
    _may_commit(machine, mmap.accounted(mmap.vmas(machine, task)), task.uid)
    task.oom_score_adj_min = task.oom_score_adj
    task.started_centisecs = machine.clock.uptime_centisecs
    _kernel_stack(machine, task, machine.kernel.thread_size_kbytes)
    machine.tasks[task.pid] = task
    machine.given_pids = machine.given_pids and machine.given_pids[1:]
    machine.next_pid += 1
    machine.topology += 1
    try:
        _touch(machine, task)
    except (alloc_request.OutOfMemory, NoHugePages):
        if task.pid in machine.tasks and not machine.panicked:
            exit_task(machine, task)
        raise


def give_pids(machine: Machine, pids: list[int]) -> None:
    """Somebody else has numbers for tasks: the next tasks get them, and the first time also those there.

    Where they are used up we count on.
    """
    if machine.given_pids is None:
        there = list(machine.tasks.values())
        for task, pid in zip(there, pids, strict=False):
            task.pid = pid
        machine.tasks = {task.pid: task for task in there}
        machine.topology += 1
        pids = pids[len(there) :]
    machine.given_pids = [*(machine.given_pids or []), *pids]


def _may_commit(machine: Machine, sizes: list[int], uid: int, total_vm: int = 0) -> None:
    """security_vm_enough_memory_mm() for mappings of these sizes, one after the other."""
    before = machine.committed_as
    for pages in sizes:
        machine.committed_as += pages
        total_vm += pages
        if not util.vm_enough_memory(machine, pages, total_vm=total_vm, cap_sys_admin=uid == 0):
            machine.committed_as = before
            util.warn_not_enough(machine, pages)
            raise alloc_request.OutOfMemory([])
    machine.committed_as = before


def _touch(machine: Machine, task: Task) -> None:
    memory = task.memory
    commit(machine, task, sum(mmap.accounted(mmap.vmas(machine, task))))
    map_page_tables(machine, task)
    if memory.huge:
        _touch_huge(machine, task)
    fault(machine, task, Use.FILE, memory.file)
    fault(machine, task, Use.SHMEM, memory.shmem)
    fault(machine, task, Use.ANON, memory.anon)


def _touch_huge(machine: Machine, task: Task) -> None:
    """hugetlb_fault() on each page; where they are interleaved, those of one node stand together here."""
    memory = task.memory
    task.hugetlb = HugetlbFile.create(machine.default_hstate)
    nids = mempolicy.node_order(machine, task.nid, memory.policy)
    task.hugetlb.reserve(machine, 0, memory.huge, nids)
    first = 0
    for nid, count in mempolicy.spread(machine, task.nid, memory.policy, memory.huge):
        task.hugetlb.fault(machine, first, count, mempolicy.node_order(machine, nid, memory.policy))
        first += count


def commit(machine: Machine, task: Task, pages: int) -> None:
    """vm_acct_memory()"""
    machine.committed_as += pages
    task.committed += pages


def _kernel_stack(machine: Machine, task: Task, kbytes: int) -> None:
    if kbytes > 0:
        alloc_other(machine, task.nid, kbytes // 4)  # by the parent: dup_task_struct()
    else:
        free_other(machine, task.nid, -kbytes // 4)
    machine.node(task.nid).mod_state(Item.NR_KERNEL_STACK, kbytes)


def map_page_tables(machine: Machine, task: Task, grows: int = 0) -> None:
    """The tables that all mappings need when touched; the anonymous one with `grows` more pages."""
    tables = pgtable.of_task(machine, task, grows)
    alloc_other(machine, task.nid, tables.pages - task.tables.pages, task)
    more = tables.counted(machine.kernel) - task.tables.counted(machine.kernel)
    machine.mod_page_tables(machine.node(task.nid), more)
    task.tables = tables


def fault(machine: Machine, task: Task, use: Use, pages: int) -> None:
    """do_anonymous_page() and its like on that many pages, spread as the task's policy says."""
    for portion in alloc_request.portions(machine, pages):
        for nid, share in mempolicy.spread(machine, task.nid, task.memory.policy, portion):
            _fault_node(machine, task, use, nid, share)
    psi.stall(machine, pages * psi.FAULT_NANOSECS, psi.CPU)
    if use is Use.FILE:
        machine.count_event(Item.PGMAJFAULT, -(-pages // filemap.READAHEAD_PAGES))
        machine.count_event(Item.PGPGIN, pages * filemap.SECTORS_PER_PAGE)
        psi.stall(machine, pages * psi.DISK_NANOSECS, psi.IO)


def _fault_node(machine: Machine, task: Task, use: Use, nid: int, pages: int) -> None:
    if task.memory.thp and use is Use.ANON and machine.thp.allows_advised:
        pages -= _fault_huge(machine, task, nid, pages >> machine.kernel.hpage_pmd_order)
    request = user_pages(machine, task, nid, pages, zeroed=use is Use.ANON)
    for parts in oom_kill.alloc_in_turns(machine, request, task):
        _map(machine, task, use, parts)
        machine.count_event(Item.PGFAULT, sum(extents.pages for _, extents in parts))
        _count_interleaved(machine, task, nid, [(zone, extents.pages) for zone, extents in parts])


def user_pages(
    machine: Machine, task: Task, nid: int, pages: int, *, zeroed: bool = False
) -> alloc_request.Request:
    """What a fault of the task asks for where its policy is `nid`'s turn."""
    return replace(
        alloc_request.gfp_highuser_movable(machine, nid, pages, zeroed=zeroed),
        thisnode=task.memory.policy == mempolicy.BIND,
        cpu_nid=mempolicy.numa_node_id(machine, task.nid),
    )


def _fault_huge(machine: Machine, task: Task, nid: int, count: int) -> int:
    """do_huge_pmd_anonymous_page(), `count` times; returns the pages got."""
    order = machine.kernel.hpage_pmd_order
    cpu_nid = mempolicy.numa_node_id(machine, task.nid)
    got = page_alloc.alloc_pages_node(machine, nid, order, count, retry=False, cpu_nid=cpu_nid)
    parts = page_free.split_by_zone(machine.node(nid), got)
    _map(machine, task, Use.ANON, parts)
    done = got.pages >> order
    _count_thp(machine, task, nid, got.pages, count - done)
    machine.count_event(Item.PGFAULT, done)
    _count_interleaved(machine, task, nid, [(zone, extents.pages >> order) for zone, extents in parts])
    return got.pages


def _count_interleaved(machine: Machine, task: Task, nid: int, got: list[tuple[Zone, int]]) -> None:
    """Calls that an interleaving policy sent to `nid` and that were served there: interleave_hit."""
    if task.memory.policy == mempolicy.INTERLEAVE and machine.numa and machine.sysctl.numa_stat:
        for zone, calls in got:
            if zone.nid == nid:
                zone.mod_state(Item.NUMA_INTERLEAVE, calls)


def _count_thp(machine: Machine, task: Task, nid: int, pages: int, fallbacks: int) -> None:
    task.thp += pages
    machine.node(nid).mod_state(Item.NR_ANON_TRANSPARENT_HUGEPAGES, pages)
    machine.count_event(Item.THP_FAULT_ALLOC, pages >> machine.kernel.hpage_pmd_order)
    machine.count_event(Item.THP_FAULT_FALLBACK, fallbacks)


def _map(machine: Machine, task: Task, use: Use, parts: alloc_request.Parts) -> None:
    for zone, extents in parts:
        batch = rmap.mapped(machine, use, extents, task)
        filemap.charge(machine, machine.node(zone.nid), batch, batch.pages)
        lru.add(machine.node(zone.nid), zone, _list_of(machine, task, use), batch)
        if task.memory.mlock:
            zone.mod_state(Item.NR_MLOCK, batch.pages)
            machine.count_event(Item.UNEVICTABLE_PGS_MLOCKED, batch.pages)
            machine.count_event(Item.UNEVICTABLE_PGS_CULLED, batch.pages)


def _list_of(machine: Machine, task: Task, use: Use) -> Lru:
    if task.memory.mlock:
        return Lru.UNEVICTABLE
    return Lru.INACTIVE_FILE if use is Use.FILE else machine.new_anon_list


def exit_task(machine: Machine, task: Task, *, killed: bool = False) -> None:
    """do_exit(): all the task holds is freed; pages of its files stay in the page cache.

    The pages of who was `killed` are freed by the OOM reaper, beside it.
    """
    with machine.acting(task.current):
        freed = _exit_mm(machine, task)
    if task.hugetlb is not None:
        task.hugetlb.release(machine)
    swapfile.free_swap_pages(machine, task.swap)
    commit(machine, task, -task.committed)
    machine.mod_page_tables(machine.node(task.nid), -task.tables.counted(machine.kernel))
    free_other(machine, task.nid, task.tables.pages)
    _kernel_stack(machine, task, -machine.kernel.thread_size_kbytes)
    if not killed:
        _free_last(machine, task, freed)
    del machine.tasks[task.pid]
    machine.topology += 1


def _free_last(machine: Machine, task: Task, freed: Counter[Zone]) -> None:
    """A task's last block is larger than a page: after a long row of frees its CPU's list goes with it."""
    zone = zonelist(machine, task.nid, machine.zone_index("Normal"))[0]
    if machine.kernel.has(Feature.PCP_FREE_HIGH_AT_EXIT) and freed[zone] > zone.pageset_high_min:
        for pindex in range(MIGRATE_PCPTYPES):
            held = zone.pageset.held(task.cpu, pindex)
            zone.free_area.free(zone.pageset.take(task.cpu, held, pindex))


def _exit_mm(machine: Machine, task: Task) -> Counter[Zone]:
    """exit_mmap(); returns the pages freed, by zone."""
    freed: Counter[Zone] = Counter()
    for node, zone in machine.zones():
        for batch in lru.remove_task(node, zone, task):
            if task.memory.mlock:
                zone.mod_state(Item.NR_MLOCK, -batch.pages)
                machine.count_event(Item.UNEVICTABLE_PGS_MUNLOCKED, batch.pages)
                machine.count_event(Item.UNEVICTABLE_PGS_RESCUED, batch.pages)
            filemap.charge(machine, node, batch, -batch.pages)
            if batch.use is Use.FILE:
                kept = Batch(Use.FILE, batch.extents)
                filemap.charge(machine, node, kept, kept.pages)
                lru.add(node, zone, Lru.INACTIVE_FILE, kept)
            else:
                page_free.free_pages(machine, zone, batch.extents)
                freed[zone] += batch.pages
    return freed


def grow(machine: Machine, task: Task) -> None:
    """One task touches what a second brings; where there is no memory left, it ends."""
    task.grown += task.memory.grow
    pages = int(task.grown)
    task.grown -= pages
    if not pages or task.pid not in machine.tasks:
        return
    with machine.acting(task.current):
        _grow(machine, task, pages)


def _grow(machine: Machine, task: Task, pages: int) -> None:
    try:
        _may_commit(machine, [pages], task.uid, mmap.sizes(mmap.vmas(machine, task)).total_vm)
    except alloc_request.OutOfMemory:
        return  # mmap() says ENOMEM, and it lives on with what it has
    try:
        commit(machine, task, pages)
        map_page_tables(machine, task, pages)
        fault(machine, task, Use.ANON, pages)
    except alloc_request.OutOfMemory:
        if task.pid in machine.tasks and not machine.panicked:
            exit_task(machine, task)


def count_growth(task: Task, pages: int) -> None:
    """What `grow` changes of the task, where its pages are counted together with those of others."""
    task.anon += pages
    task.committed += pages


def alloc_other(machine: Machine, nid: int, pages: int, task: Task | None = None) -> None:
    """Kernel pages that no counter of a zone tells apart, on behalf of a task or of nobody here."""
    request = alloc_request.gfp_kernel(machine, nid, pages)
    for zone, extents in oom_kill.alloc_pages_may_oom(machine, request, task):
        zone.other = Extents.concat([zone.other, extents])


def free_other(machine: Machine, nid: int, pages: int) -> None:
    """Kernel pages go back, the newest first, from the node's zones and then from the others."""
    for zone in _zones_from(machine, nid):
        kept, gone = zone.other.take(max(zone.other.pages - pages, 0))
        zone.other = kept
        page_free.free_pages(machine, zone, gone)
        pages -= gone.pages


def _zones_from(machine: Machine, nid: int) -> Iterator[Zone]:
    nodes = [machine.node(nid), *(node for node in machine.nodes if node.nid != nid)]
    return (zone for node in nodes for zone in reversed(node.zones))
