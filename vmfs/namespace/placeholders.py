"""Processes of the host that stand for the tasks of the machine, so that ps, top and kill know them.

A name in /proc cannot be made, but that of a process can be covered: a placeholder does nothing, and
over its /proc/PID lies the task with the same number. So that a task is there as soon as it is
started, spare ones wait covered by an empty directory, and the machine is told their numbers.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from vmfs.namespace import syscalls

SPARE = 16
"""So many tasks can be started at once."""

FIRST_OTHER_FILE = 3


class Placeholders:
    """`watch(file, event)` calls `event` when the file can be read; `forget(file)` ends that."""

    def __init__(
        self,
        machine: str,
        watch: Callable[[int, Callable[[int], None]], None],
        forget: Callable[[int], None],
    ) -> None:
        self._machine = Path(machine)
        self._watch = watch
        self._forget = forget
        self._tasks: set[int] = set()
        self._spare: set[int] = set()
        self._refill(SPARE + self._booted_with())

    def changed(self, tasks: set[int]) -> None:
        """These are the machine's tasks now: what stood for one that is gone goes too."""
        for pid in self._tasks - tasks:
            _kill(pid)
        self._tasks = tasks & (self._tasks | self._spare)
        self._spare -= self._tasks
        self._refill()

    def end(self) -> None:
        """Let none be left, not even dead: process 1 of a container may not care for them."""
        for pid in self._tasks | self._spare:
            _kill(pid)
        with suppress(ChildProcessError):  # those of tasks that ended just now are among them
            while True:
                os.waitpid(-1, 0)

    def _booted_with(self) -> int:
        names = (path.name for path in (self._machine / "proc").iterdir())
        return sum(map(str.isdecimal, names))

    def _refill(self, wanted: int = SPARE) -> None:
        fresh = [_fork() for _ in range(wanted - len(self._spare))]
        for pid in fresh:
            syscalls.bind(str(self._machine / f"vmfs/task.{pid}"), f"/proc/{pid}")
            process = os.pidfd_open(pid)
            self._watch(process, lambda _, pid=pid, process=process: self._died(pid, process))  # type: ignore[misc]
        self._spare |= set(fresh)
        if fresh:
            self._control(f"pids {','.join(map(str, fresh))}")

    def _died(self, pid: int, process: int) -> None:
        """Somebody killed it, or the task ended and so did we end it."""
        self._forget(process)
        os.close(process)
        os.waitpid(pid, 0)
        if pid in self._tasks:
            self._control(f"stop {pid}")
        self._tasks.discard(pid)
        self._spare.discard(pid)

    def _control(self, line: str) -> None:
        try:
            (self._machine / "vmfs/keeper").write_text(f"{line}\n")
        except ProcessLookupError:
            return  # the task has ended by itself


def _fork() -> int:
    keeper = os.getpid()
    pid = os.fork()
    if pid == 0:
        _stand_still(keeper)
    return pid


def _stand_still(keeper: int) -> NoReturn:
    """Until a signal ends it, as it would a process that handles none."""
    try:
        syscalls.die_with_parent(signal.SIGKILL, keeper)
        os.closerange(FIRST_OTHER_FILE, os.sysconf("SC_OPEN_MAX"))
        for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, set())
        while True:
            signal.pause()
    finally:
        os._exit(0)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
