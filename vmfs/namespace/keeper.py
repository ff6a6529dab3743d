"""The process that outlives the others: whatever way a run ends, it leaves nothing behind.

It shares the mounts of the command and holds one end of a pair of sockets. The other end is with the process
that runs the command and closes when that one ends, by whatever signal. Then the keeper takes the
machine off, so that what the command left in the background sees the host again, and ends too.
Until then it answers the system calls of the command and lets others join.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from vmfs.namespace import base, door, syscalls
from vmfs.namespace.answers import Answers
from vmfs.namespace.cover import Cover
from vmfs.namespace.placeholders import Placeholders

log = logging.getLogger(__name__)

READY = b"!"
ENDED = b"."
"""What the other end says before it closes: the command has ended by itself."""


def start(cover: Cover, entrance: socket.socket, mapped: bool, bell: socket.socket | None) -> tuple[int, int]:
    """Fork the keeper; returns its pid and the end of the pipe to hold, once it is ready.

    `bell` rings, with their numbers, when the tasks of the machine have changed; with it they are shown
    as processes. RuntimeError: the keeper could not begin.
    """
    lifeline, ours = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        _keep(lifeline.detach(), cover, entrance, mapped, bell)
    lifeline.close()
    if (said := ours.recv(door.MOST_BYTES)) != READY:
        raise RuntimeError(f"the keeper of the run did not begin: {said.decode()}")
    return pid, ours.detach()


def _keep(
    lifeline: int, cover: Cover, entrance: socket.socket, mapped: bool, bell: socket.socket | None
) -> NoReturn:
    status = 1
    try:
        os.setsid()  # out of reach of the terminal's signals
        signal.pthread_sigmask(signal.SIG_SETMASK, set(signal.Signals) - {signal.SIGKILL})
        _let_go_of_files({lifeline, entrance.fileno(), *([bell.fileno()] if bell else [])})
        os.chdir("/")
        keeper = Keeper(cover, lifeline, entrance, mapped, bell)
        os.write(lifeline, READY)
        if keeper.serve() != ENDED:
            _kill_those_inside()
        keeper.clear()
        status = 0
    except Exception as fault:
        log.exception("the keeper of %s", cover.machine)
        os.write(lifeline, f"{type(fault).__name__}: {fault}".encode())
    finally:
        os._exit(status)


def _let_go_of_files(kept: set[int]) -> None:
    """The command's own: a reader of its output waits for the last who might write."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    with os.scandir("/proc/self/fd") as entries:
        files = {int(entry.name) for entry in entries}
    for file in files - kept - {0, 1, 2}:
        os.closerange(file, file + 1)  # not even there: the directory that was just listed


class Keeper:
    """One loop over everything that may happen."""

    def __init__(
        self,
        cover: Cover,
        lifeline: int,
        entrance: socket.socket,
        mapped: bool,
        bell: socket.socket | None,
    ) -> None:
        self._cover = cover
        self._lifeline = lifeline
        self._entrance = entrance
        spaces = (os.open(f"/proc/self/ns/{kind}", os.O_RDONLY) for kind in ("user", "mnt"))
        self._room = door.Room(cover.machine, mapped, *spaces)
        self._status: dict[int, None] = {}  # processes whose status is covered
        self._poll = select.poll()
        self._events: dict[int, Callable[[int], None]] = {}
        self._answers: Answers | None = None
        self._watch(lifeline, lambda _: None)
        self._watch(entrance.fileno(), self._open)
        self._placeholders: Placeholders | None = None
        if bell:
            placeholders = self._placeholders = Placeholders(cover.machine, self._watch, self._forget)
            self._watch(bell.fileno(), lambda _: placeholders.changed(door.numbers(bell)))

    def serve(self) -> bytes:
        """Until the pipe closes; returns what came out of it before."""
        while True:
            for file, event in self._poll.poll():
                if file == self._lifeline:
                    return os.read(file, 1)
                try:
                    self._events[file](event)
                except Exception:
                    log.exception("the keeper of %s", self._cover.machine)

    def clear(self) -> None:
        if self._placeholders:
            self._placeholders.end()
        self._cover.take_off()
        for pid in self._status:
            _try(syscalls.detach, f"/proc/{pid}/status")
        syscalls.detach(base.of(self._cover.machine))

    def _watch(self, file: int, event: Callable[[int], None]) -> None:
        self._events[file] = event
        self._poll.register(file, select.POLLIN)

    def _forget(self, file: int) -> None:
        self._poll.unregister(file)
        del self._events[file]

    def _open(self, _event: int) -> None:
        connection, _ = self._entrance.accept()
        self._watch(connection.fileno(), lambda _: self._talk(connection))

    def _talk(self, connection: socket.socket) -> None:
        data, files, _, _ = socket.recv_fds(connection, door.MOST_BYTES, door.MOST_FILES)
        if data == door.JOIN:
            door.let_join(connection, self._room)
        elif data == door.LISTENER and files:
            self._listen(files[0])
        else:
            self._forget(connection.fileno())
            connection.close()

    def _listen(self, listener: int) -> None:
        answers = self._answers = self._answers or Answers(self._cover.machine, self._cover_status)

        def event(kind: int) -> None:
            if kind & select.POLLIN:
                answers.answer(listener)
            else:  # nobody is left who could ask
                self._forget(listener)
                os.close(listener)

        self._watch(listener, event)

    def _cover_status(self, pid: int) -> None:
        """Cpus_allowed and Mems_allowed are the machine's: libnuma and hwloc look here."""
        self._status = {p: None for p in self._status if Path(f"/proc/{p}").exists()} | {pid: None}
        _try(syscalls.bind, f"{self._cover.machine}/vmfs/status.{pid}", f"/proc/{pid}/status")


def _try(call: Callable[..., None], *paths: str) -> None:
    """What may have gone by itself: a process, with its mounts."""
    try:
        call(*paths)
    except OSError as fault:
        log.debug("%s", fault)


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
