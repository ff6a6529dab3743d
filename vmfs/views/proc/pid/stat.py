"""/proc/PID/stat and statm, as fs/proc/array.c: do_task_stat(), proc_pid_statm() write them.

Tasks own memory and run nothing, so no processor time has passed for them.
"""

from __future__ import annotations

from vmfs.mm import mmap
from vmfs.mm.mmzone import PAGE_SIZE
from vmfs.views.proc.pid.process import Process

PF_RANDOMIZE = 0x400000
SIGCHLD = 17
NICE_0 = 20
ARGV_AND_AUXV_BYTES = 0x400  # what exec() puts on the stack below the strings
STACK_END_BYTES = 8


def stat(process: Process) -> str:
    """52 fields; the second may hold blanks."""
    machine, task = process
    arg_start, arg_end = arguments(process)
    fields = (
        *(task.pid, f"({mmap.comm(task)})", "S", process.ppid, task.pid, task.pid, 0, -1, PF_RANDOMIZE),
        *(min_flt(process), 0, 0, 0),
        *(0, 0, 0, 0, NICE_0, 0, 1, 0, task.started_centisecs),
        *(process.sizes.total_vm * PAGE_SIZE, task.rss, machine.kernel.ulong_max),
        *(*process.code, (arg_start - ARGV_AND_AUXV_BYTES) & ~15, 0, 0),
        *(0, 0, 0, 0, 0, 0, 0),
        *(SIGCHLD, task.cpu, 0, 0, 0, 0, 0),
        *(*process.data, mmap.layout(machine, task).start_brk),
        *(arg_start, arg_end, arg_end, arg_end, 0),
    )
    return " ".join(map(str, fields)) + "\n"


def min_flt(process: Process) -> int:
    """One for each page that has been touched, and for each huge one."""
    machine, task = process
    in_huge = task.thp - (task.thp >> machine.kernel.hpage_pmd_order)
    return task.rss + task.swap - in_huge


def arguments(process: Process) -> tuple[int, int]:
    """arg_start and arg_end: above them are no environment, the name of the program, and a null."""
    machine, task = process
    path = len(mmap.executable(task).encode()) + 1
    arg_end = mmap.layout(machine, task).stack_end - STACK_END_BYTES - path
    return arg_end - path, arg_end


def statm(process: Process) -> str:
    """Pages: total, resident, of them not anonymous, text, 0, data and stack, 0."""
    task, sizes = process.task, process.sizes
    data = sizes.data_vm + sizes.stack_vm
    return f"{sizes.total_vm} {task.rss} {task.file + task.shmem} {process.text_pages} 0 {data} 0\n"
