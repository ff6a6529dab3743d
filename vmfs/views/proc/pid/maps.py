"""/proc/PID/maps, as fs/proc/task_mmu.c: show_map_vma() writes it."""

from __future__ import annotations

from vmfs.kernel import Feature, Kernel
from vmfs.mm.mmap import Vma
from vmfs.views.proc.pid.process import Process
from vmfs.views.seq import mangle

ESCAPED = "\n"


def maps(process: Process) -> str:
    return "".join(map_line(process.machine.kernel, vma) for vma in process.vmas)


def map_line(kernel: Kernel, vma: Vma) -> str:
    """show_map_vma()"""
    where = f"{vma.offset:08x} {vma.dev} {vma.inode} "
    return named(kernel, f"{vma.start:08x}-{vma.end:08x} {vma.perms} {where}", vma.name)


def named(kernel: Kernel, head: str, name: str) -> str:
    """seq_pad(): the name starts behind three times the digits of the widest addresses."""
    width = 25 + (24 if kernel.has(Feature.HIGHMEM) else 48) - 1
    return f"{head:<{width}} {mangle(name, ESCAPED)}\n" if name else f"{head}\n"
