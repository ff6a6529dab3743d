"""The process that outlives the others: whatever way a run ends, it leaves nothing behind.

It shares the mounts of the command and holds one end of a pipe. The other end is with the process
that runs the command and closes when that one ends, by whatever signal. Then the keeper takes the
machine off, so that what the command left in the background sees the host again, and ends too.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import NoReturn

from vmfs.namespace import base
from vmfs.namespace.cover import Cover
from vmfs.namespace.syscalls import detach

ENDED = b"."
"""What the other end of the pipe says before it closes: the command has ended by itself."""


def start(cover: Cover) -> tuple[int, int]:
    """Fork the keeper; returns its pid and the end of the pipe to hold."""
    lifeline, ours = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ours)
        _keep(lifeline, cover)
    os.close(lifeline)
    return pid, ours


def _keep(lifeline: int, cover: Cover) -> NoReturn:
    status = 1
    try:
        os.setsid()  # out of reach of the terminal's signals
        signal.pthread_sigmask(signal.SIG_SETMASK, set(signal.Signals) - {signal.SIGKILL})
        _let_go_of_files(lifeline)
        os.chdir("/")
        if os.read(lifeline, 1) != ENDED:
            _kill_those_inside()
        _clear(cover)
        status = 0
    finally:
        os._exit(status)


def _let_go_of_files(lifeline: int) -> None:
    """The command's own: a reader of its output waits for the last who might write."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    os.closerange(3, lifeline)
    os.closerange(lifeline + 1, os.sysconf("SC_OPEN_MAX"))


def _kill_those_inside() -> None:
    """When vmfs itself was killed: what it ran ends as well."""
    here = _namespace_of(os.getpid())
    while inside := [pid for pid in _others() if _namespace_of(pid) == here]:
        for pid in inside:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def _others() -> list[int]:
    return [int(p.name) for p in Path("/proc").iterdir() if p.name.isdecimal() and int(p.name) != os.getpid()]


def _namespace_of(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/ns/mnt").readlink())
    except OSError:  # ended, ending, or somebody else's
        return ""


def _clear(cover: Cover) -> None:
    cover.take_off()
    detach(base.of(cover.machine))
