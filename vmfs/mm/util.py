"""Overcommit accounting (mm/util.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmfs.kernel import Feature
from vmfs.mm import swapfile
from vmfs.mm.alloc_request import OutOfMemory
from vmfs.mm.mmzone import PAGE_SHIFT
from vmfs.mm.printk import SECOND

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine
    from vmfs.mm.tasks import Task

KBYTES_SHIFT = PAGE_SHIFT - 10
RATELIMIT = 5 * SECOND, 10  # DEFAULT_RATELIMIT_INTERVAL, DEFAULT_RATELIMIT_BURST
OVERCOMMIT_GUESS, OVERCOMMIT_ALWAYS, OVERCOMMIT_NEVER = range(3)


def commit_limit(machine: Machine) -> int:
    """vm_commit_limit(): pages that may be promised with overcommit_memory 2: CommitLimit.

    A negative overcommit_ratio wraps as the kernel's unsigned product does.
    """
    sysctl = machine.sysctl
    if sysctl.overcommit_kbytes:
        allowed = sysctl.overcommit_kbytes >> KBYTES_SHIFT
    else:
        memory = machine.totalram_pages - hugetlb_total_pages(machine)
        allowed = (memory * sysctl.overcommit_ratio & machine.kernel.ulong_max) // 100
    return allowed + swapfile.total_swap_pages(machine)


def hugetlb_total_pages(machine: Machine) -> int:
    """Base pages in the pools of all sizes (mm/hugetlb.c)."""
    return sum(hstate.nr_huge_pages << hstate.order for hstate in machine.hstates)


def vm_enough_memory(machine: Machine, pages: int, *, total_vm: int, cap_sys_admin: bool) -> bool:
    """Whether `pages` more, already added to committed_as, may be promised to a process of `total_vm` pages.

    The root reserve is spared for processes without CAP_SYS_ADMIN; the user reserve is at most a
    32nd of the process.
    """
    sysctl = machine.sysctl
    if sysctl.overcommit_memory == OVERCOMMIT_ALWAYS:
        return True
    if sysctl.overcommit_memory == OVERCOMMIT_GUESS:
        return pages <= machine.totalram_pages + swapfile.total_swap_pages(machine)
    allowed = commit_limit(machine) - min(total_vm // 32, sysctl.user_reserve_kbytes >> KBYTES_SHIFT)
    if not cap_sys_admin:
        allowed -= sysctl.admin_reserve_kbytes >> KBYTES_SHIFT
    return machine.committed_as < allowed


def warn_not_enough(machine: Machine, pages: int) -> None:
    """What __vm_enough_memory() logs of a refusal."""
    kernel, who, now = machine.kernel, machine.current, machine.clock.microsecs
    name = "__vm_enough_memory"
    if kernel.has(Feature.OVERCOMMIT_WARNS) and machine.log.ratelimit(name, *RATELIMIT, now):
        told = f"bytes: {pages << PAGE_SHIFT} not" if kernel.has(Feature.OVERCOMMIT_WARNS_BYTES) else "no"
        process = f"pid: {who.pid}, comm: {who.comm}"
        machine.warn(f"{name}: {process}, {told} enough memory for the allocation")


def security_vm_enough_memory_mm(machine: Machine, sizes: list[int], uid: int, total_vm: int = 0) -> None:
    """For mappings of these sizes, one after the other: OutOfMemory where one may not be promised."""
    before = machine.committed_as
    for pages in sizes:
        machine.committed_as += pages
        total_vm += pages
        if not vm_enough_memory(machine, pages, total_vm=total_vm, cap_sys_admin=uid == 0):
            machine.committed_as = before
            warn_not_enough(machine, pages)
            raise OutOfMemory([])
    machine.committed_as = before


def vm_acct_memory(machine: Machine, task: Task, pages: int) -> None:
    """So many pages are promised to a task."""
    machine.committed_as += pages
    task.committed += pages
