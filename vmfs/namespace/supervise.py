"""Run a command as a child and pass for it: exit status, signals, job control.

The child stays in our process group, so what the terminal sends reaches both; what somebody sends to
us alone is passed on.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from errno import ENOENT, ENOEXEC, ENOTDIR
from typing import NoReturn

from vmfs.namespace import syscalls

NOT_FOUND = 127
NOT_EXECUTABLE = 126
BY_SIGNAL = 128
MISSING = (ENOENT, ENOTDIR)

SYNCHRONOUS = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP, signal.SIGABRT}
WATCHED = set(signal.Signals) - SYNCHRONOUS - {signal.SIGKILL, signal.SIGSTOP}


class Child:
    """The command. `prepare` runs in the child just before the program is executed."""

    def __init__(self, command: Sequence[str], prepare: Callable[[], None]) -> None:
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
        ignored = signal.signal(signal.SIGCHLD, signal.SIG_DFL) == signal.SIG_IGN
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            if ignored:  # by whoever started us: we must know, the command shall not
                signal.signal(signal.SIGCHLD, signal.SIG_IGN)
            _execute(command, prepare, self._mask, parent)

    def wait(self, others: dict[int, str], warn: Callable[[str], None]) -> int:
        """The exit status as a shell gives it. `others`: what it means when they end before."""
        while True:
            found = signal.sigwaitinfo(WATCHED)
            if found.si_signo == signal.SIGCHLD:
                for pid in [pid for pid in others if os.waitpid(pid, os.WNOHANG)[0]]:
                    warn(others.pop(pid))
                status = self._look()
                if status is not None:
                    return status
            elif found.si_code <= 0:  # from a process, not from the terminal: SI_USER, SI_QUEUE, SI_TKILL
                os.kill(self.pid, found.si_signo)

    def _look(self) -> int | None:
        pid, status = os.waitpid(self.pid, os.WNOHANG | os.WUNTRACED)
        if pid == 0:
            return None
        if os.WIFSTOPPED(status):
            self._stop_as_well(os.WSTOPSIG(status))
            return None
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        return BY_SIGNAL + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)

    def _stop_as_well(self, number: int) -> None:
        """So that the shell takes the terminal back; when it lets us go on, so does the child."""
        os.kill(os.getpid(), number)  # while it is blocked: one that is pending already is the same one
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        signal.pthread_sigmask(signal.SIG_BLOCK, {number} & WATCHED)
        os.kill(self.pid, signal.SIGCONT)


def _execute(
    command: Sequence[str], prepare: Callable[[], None], mask: set[int | signal.Signals], parent: int
) -> NoReturn:
    status = NOT_EXECUTABLE
    try:
        prepare()
        syscalls.die_with_parent(signal.SIGKILL, parent)
        for ignored_by_python in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(ignored_by_python, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        _exec(command)
    except OSError as fault:
        if fault.errno in MISSING or _is_nowhere(command[0]):
            status = NOT_FOUND
        _say(command[0] or "''", "command not found" if _is_nowhere(command[0]) else str(fault.strerror))
    finally:
        os._exit(status)


def _exec(command: Sequence[str]) -> NoReturn:
    if not command[0]:  # os.execvp() takes it for a mistake of ours
        raise OSError(ENOENT, os.strerror(ENOENT))
    try:
        os.execvp(command[0], list(command))  # noqa: S606 # a command is what we are here for
    except OSError as fault:
        if fault.errno != ENOEXEC:
            raise
        # a script that does not say by what, as execvp(3) runs it
        os.execv("/bin/sh", ["sh", *command])  # noqa: S606


def _is_nowhere(name: str) -> bool:
    """Whether it was looked for in the PATH in vain, some of which may be closed to us."""
    return "/" not in name and shutil.which(name, os.F_OK) is None


def _say(what: str, why: str) -> None:
    if sys.stderr:
        sys.stderr.write(f"vmfs: {what}: {why}\n")
        sys.stderr.flush()
