"""The system calls that are answered for the simulated machine: see docs/run.md.

ANSWERED are all; any other goes to the host's kernel and no slower.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from errno import EIO

from vmfs.namespace import seccomp
from vmfs.namespace.facts import Facts
from vmfs.namespace.numa import GoOn, Numa, started
from vmfs.namespace.sysinfo import sysinfo

log = logging.getLogger(__name__)

NUMA = (
    "sched_getaffinity",
    "sched_setaffinity",
    "get_mempolicy",
    "set_mempolicy",
    "mbind",
    "migrate_pages",
)
PROGRAMS = ("execve", "execveat")
MOST_SEEN = 1000  # then those that have ended are forgotten
ANSWERED = ("sysinfo", *NUMA, *PROGRAMS)


class Answers:
    """Answers one call after the other. `on_program(pid)` is called when a process executes its first one."""

    def __init__(self, on_program: Callable[[int], None]) -> None:
        self._on_program = on_program
        self._seen: dict[int, str] = {}
        calls: dict[str, Callable[[seccomp.Call], int]] = {
            "sysinfo": self._sysinfo,
            **Numa().calls,
            **dict.fromkeys(PROGRAMS, self._program),
        }
        self._calls = {seccomp.number(name): does for name, does in calls.items()}

    def answer(self, listener: int) -> None:
        """The next call of those that wait at `listener`."""
        try:
            call = seccomp.Call(listener)
        except FileNotFoundError:
            return  # whoever called was killed
        try:
            call.answer(self._calls[call.number](call))
        except GoOn:
            call.go_on()
        except OSError as fault:
            if fault.filename:  # no answer to be had where the caller lives
                call.go_on()
            else:
                call.fail(fault.errno or EIO)
        except Exception:
            log.exception("system call %d of process %d", call.number, call.pid)
            call.go_on()

    def _sysinfo(self, call: seccomp.Call) -> int:
        call.write(call.args[0], sysinfo(Facts(call.pid)))
        return 0

    def _program(self, call: seccomp.Call) -> int:
        when = started(call.pid)
        if self._seen.get(call.pid) != when:
            if len(self._seen) > MOST_SEEN:
                self._seen = {pid: kept for pid, kept in self._seen.items() if started(pid) == kept}
            self._seen[call.pid] = when
            self._on_program(call.pid)
        raise GoOn
