"""/proc/PID/oom_score, oom_score_adj and oom_adj (fs/proc/base.c)."""

from __future__ import annotations

import os
from errno import EACCES, EINVAL

from vmfs.mm import oom_kill
from vmfs.mm.printk import Level
from vmfs.mm.swapfile import total_swap_pages
from vmfs.views.kstrtox import c_string, kstrtoint
from vmfs.views.proc.pid.process import Process

PROC_NUMBUF = 13
OOM_SCORE_ADJ_MIN, OOM_SCORE_ADJ_MAX = -1000, 1000
OOM_DISABLE, OOM_ADJUST_MAX = -17, 15
WHITE_SPACE = b" \t\n\v\f\r\xa0"  # what the kernel's isspace() takes


def oom_score(process: Process) -> str:
    """proc_oom_score(): 0 for what the OOM killer never takes."""
    machine, task = process
    badness = oom_kill.oom_badness(machine, task)
    if badness is None or task is machine.init:
        return "0\n"
    total = machine.totalram_pages + total_swap_pages(machine)
    points = OOM_SCORE_ADJ_MAX + _divided(badness * OOM_SCORE_ADJ_MAX, total)
    return f"{_divided(points * 2, 3) & machine.kernel.ulong_max}\n"


def _divided(dividend: int, divisor: int) -> int:
    """C's division, which rounds towards zero."""
    quotient = abs(dividend) // abs(divisor)
    return quotient if (dividend < 0) == (divisor < 0) else -quotient


def oom_score_adj(process: Process) -> str:
    return f"{process.task.oom_score_adj}\n"


def oom_adj(process: Process) -> str:
    """oom_adj_read(): the scale of old."""
    value = process.task.oom_score_adj
    return f"{OOM_ADJUST_MAX if value == OOM_SCORE_ADJ_MAX else _to_old_scale(value)}\n"


def _to_old_scale(value: int) -> int:
    return min(_divided(value * -OOM_DISABLE, OOM_SCORE_ADJ_MAX), OOM_ADJUST_MAX)


def write_oom_score_adj(process: Process, data: bytes, _offset: int) -> int:
    """oom_score_adj_write(): EINVAL, ERANGE; EACCES below what may be without CAP_SYS_RESOURCE."""
    data = data[: PROC_NUMBUF - 1]
    _store(process, _number(data, OOM_SCORE_ADJ_MIN, OOM_SCORE_ADJ_MAX))
    return len(data)


def write_oom_adj(process: Process, data: bytes, _offset: int) -> int:
    """oom_adj_write(): the same on the scale of old; the log says once that it is deprecated."""
    data = data[: PROC_NUMBUF - 1]
    value = _number(data, OOM_DISABLE, OOM_ADJUST_MAX)
    machine, pid = process.machine, process.task.pid
    if machine.log.first_time("oom_adj"):
        who = machine.current
        text = f"/proc/{pid}/oom_adj is deprecated, please use /proc/{pid}/oom_score_adj instead."
        machine.printk(Level.WARNING, f"{who.comm} ({who.pid}): {text}")
    highest = value == OOM_ADJUST_MAX
    _store(process, OOM_SCORE_ADJ_MAX if highest else _divided(value * OOM_SCORE_ADJ_MAX, -OOM_DISABLE))
    return len(data)


def _number(data: bytes, least: int, most: int) -> int:
    value = kstrtoint(c_string(data).strip(WHITE_SPACE), 0)
    if not least <= value <= most:
        raise OSError(EINVAL, os.strerror(EINVAL))
    return value


def _store(process: Process, value: int) -> None:
    try:
        process.machine.set_oom_score_adj(process.task, value)
    except PermissionError:
        raise OSError(EACCES, os.strerror(EACCES)) from None
