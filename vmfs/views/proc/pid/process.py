"""What the files of /proc/PID are about."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from vmfs.mm import mmap
from vmfs.mm.mmzone import PAGE_SIZE

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine
    from vmfs.mm.tasks import Task


class Process(NamedTuple):
    """A task on its machine. It has one thread, no parent but init and no terminal."""

    machine: Machine
    task: Task

    @property
    def vmas(self) -> list[mmap.Vma]:
        return mmap.vmas(self.machine, self.task)

    @property
    def sizes(self) -> mmap.Sizes:
        return mmap.sizes(self.vmas)

    @property
    def text_pages(self) -> int:
        """Between start_code and end_code, whole pages."""
        start, end = self.code
        return (end - start) // PAGE_SIZE

    @property
    def code(self) -> tuple[int, int]:
        """start_code and end_code."""
        return self._segments(mmap.TEXT, mmap.TEXT)

    @property
    def data(self) -> tuple[int, int]:
        """start_data and end_data."""
        return self._segments(mmap.RELRO, mmap.DATA)

    def _segments(self, first: int, last: int) -> tuple[int, int]:
        base, segments = mmap.program(self.machine.kernel)
        start = base + sum(segment.pages for segment in segments[:first]) * PAGE_SIZE
        return start, start + sum(segment.pages for segment in segments[first : last + 1]) * PAGE_SIZE

    @property
    def ppid(self) -> int:
        return int(self.task.pid != 1)


def each(machine: Machine) -> Iterator[tuple[tuple[int], Process]]:
    """Init and every task: ((pid,), process)."""
    for task in (machine.init, *machine.tasks.values()):
        yield (task.pid,), Process(machine, task)


def each_thread(machine: Machine) -> Iterator[tuple[tuple[int, int], Process]]:
    """((pid, tid), process): the only thread has the process's number."""
    return (((pid, pid), process) for (pid,), process in each(machine))


def owner(process: Process) -> int:
    """task_dump_owner()"""
    return process.task.uid
