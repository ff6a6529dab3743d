"""A task starts, and touches its memory (kernel/fork.c)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from vmfs.mm import kernel_pages, mempolicy, mmap, pgtable, util
from vmfs.mm.alloc_request import OutOfMemory
from vmfs.mm.exit import exit_task
from vmfs.mm.hugetlbfs import HugetlbFile, NoHugePages
from vmfs.mm.lru import Use
from vmfs.mm.memory import fault
from vmfs.mm.tasks import Memory, Task

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine


def start(machine: Machine, name: str, memory: Memory, oom_score_adj: int = 0, uid: int = 0) -> Task:
    """A task that has touched its memory.

    OutOfMemory when overcommit refuses it or the OOM killer chose it, NoHugePages when the pool is
    too small: then the task is gone again and its memory is free. ValueError for a policy of a node that
    has none: mpol_set_nodemask() leaves no node then.
    """
    nid = machine.default_nid if memory.nid is None else memory.nid
    if memory.policy in (mempolicy.BIND, mempolicy.PREFERRED) and not machine.node(nid).managed_pages:
        raise ValueError(f"policy {memory.policy}: node {nid} has no memory")
    pid = machine.given_pids[0] if machine.given_pids else machine.next_pid
    task = Task(pid, name, nid, memory, idlest_cpu(machine, nid), oom_score_adj, uid)
    with machine.acting(task.current):
        _start(machine, task)
    return task


def _start(machine: Machine, task: Task) -> None:
    util.security_vm_enough_memory_mm(machine, mmap.accounted(mmap.vmas(machine, task)), task.uid)
    task.oom_score_adj_min = task.oom_score_adj
    task.started_centisecs = machine.clock.uptime_centisecs
    kernel_pages.account_kernel_stack(machine, task, machine.kernel.thread_size_kbytes)
    machine.tasks[task.pid] = task
    machine.given_pids = machine.given_pids and machine.given_pids[1:]
    machine.next_pid += 1
    machine.topology += 1
    try:
        _touch(machine, task)
    except (OutOfMemory, NoHugePages):
        if task.pid in machine.tasks and not machine.panicked:
            exit_task(machine, task)
        raise


def idlest_cpu(machine: Machine, nid: int) -> int:
    """find_idlest_group_cpu(): that with the fewest tasks; on the node's first one is who starts it."""
    near = mempolicy.numa_node_id(machine, nid)
    cpus = machine.node(near).cpus or machine.hardware.online_cpus
    tasks = Counter(task.cpu for task in machine.tasks.values())
    return min((*cpus[1:], cpus[0]), key=lambda cpu: tasks[cpu])


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


def _touch(machine: Machine, task: Task) -> None:
    memory = task.memory
    util.vm_acct_memory(machine, task, sum(mmap.accounted(mmap.vmas(machine, task))))
    pgtable.map_page_tables(machine, task)
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
