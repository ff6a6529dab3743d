"""The small files of /proc/PID (fs/proc/base.c): name, arguments, environment, links, accounting."""

from __future__ import annotations

import os
from errno import EINVAL, EPERM

from vmfs.mm import mmap
from vmfs.mm.mmzone import PAGE_SIZE
from vmfs.views.proc.pid.process import Process

UNSET = (1 << 32) - 1  # AUDIT_UID_UNSET, AUDIT_SID_UNSET


def comm(process: Process) -> str:
    return f"{mmap.comm(process.task)}\n"


def write_comm(_process: Process, _data: bytes, _offset: int) -> int:
    """comm_write(): a process names itself and its own threads; who writes here is none of them."""
    raise OSError(EINVAL, os.strerror(EINVAL))


def cmdline(process: Process) -> str:
    """The program's path is all that it was started with."""
    return f"{mmap.executable(process.task)}\0"


def exe(process: Process) -> str:
    return mmap.executable(process.task)


def root(_process: Process) -> str:
    """Of cwd and root."""
    return "/"


def empty(_process: Process) -> str:
    """environ: nothing was exported to it."""
    return ""


def wchan(_process: Process) -> str:
    """proc_pid_wchan(): a kernel that keeps addresses to itself says 0."""
    return "0"


def cpuset(_process: Process) -> str:
    return "/\n"


def cgroup(_process: Process) -> str:
    """proc_cgroup_show() of the unified hierarchy: all are in the root."""
    return "0::/\n"


def unset(_process: Process) -> str:
    """loginuid and sessionid of what no login started."""
    return f"{UNSET}"


def write_loginuid(_process: Process, _data: bytes, _offset: int) -> int:
    """proc_loginuid_write(): only of oneself."""
    raise OSError(EPERM, os.strerror(EPERM))


def io(process: Process) -> str:
    """do_io_accounting(): reading mapped files is no read(2), but it does come from the disk."""
    counts = {
        "rchar": 0,
        "wchar": 0,
        "syscr": 0,
        "syscw": 0,
        "read_bytes": process.task.memory.file * PAGE_SIZE,
        "write_bytes": 0,
        "cancelled_write_bytes": 0,
    }
    return "".join(f"{name}: {count}\n" for name, count in counts.items())
