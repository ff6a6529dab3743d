"""The process that outlives the others: whatever way a run ends, it leaves nothing behind.

It shares the mounts of the command and holds one end of a pair of sockets. The other end is with the
process that runs the command and closes when that one ends, by whatever signal. Then the keeper ends
what the command left in the background: nobody would answer its system calls any more. Until then it
answers them, and lets others join.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, NoReturn

from vmfs.namespace import door, syscalls
from vmfs.namespace.answers import Answers
from vmfs.namespace.inside import Inside
from vmfs.namespace.placeholders import Placeholders

log = logging.getLogger(__name__)

STANDARD = (0, 1, 2)
READY = b"!"

LEAVE = (signal.SIGTERM, 0.5), (signal.SIGKILL, 5.0)
"""What those that are left are told, and the seconds they get."""
TURN_SECONDS = 0.01


class Run(NamedTuple):
    """`mapped`: root inside is a user outside. `outside` names the host's mounts.

    `bell` rings, with their numbers, when the tasks of the machine have changed; with it they are shown
    as processes. `log_to` is called when the keeper begins.
    """

    machine: str
    mapped: bool
    outside: str
    daemon: int
    entrance: socket.socket
    bell: socket.socket | None
    log_to: Callable[[], None]


def start(run: Run) -> tuple[int, int]:
    """Fork the keeper; returns its pid and the end of the lifeline to hold, once it is ready.

    RuntimeError: it could not begin.
    """
    lifeline, ours = socket.socketpair()
    leader, pid = os.getpid(), os.fork()
    if pid == 0:
        ours.close()
        _keep(lifeline.detach(), run, leader)
    lifeline.close()
    if (said := ours.recv(door.MOST_BYTES)) != READY:
        raise RuntimeError(f"the keeper of the run did not begin: {said.decode()}")
    return pid, ours.detach()


def _keep(lifeline: int, run: Run, leader: int) -> NoReturn:
    status = 1
    try:
        os.setsid()  # out of reach of the terminal's signals
        signal.pthread_sigmask(signal.SIG_SETMASK, set(signal.Signals) - {signal.SIGKILL})
        os.chdir("/")
        keeper = Keeper(run, lifeline)
        keeper.let_go_of_files()
        run.log_to()
        os.write(lifeline, READY)
        keeper.serve()
        keeper.end(Inside(run.machine, run.outside, {os.getpid(), leader, run.daemon}))
        status = 0
    except Exception as fault:
        run.log_to()  # it may not have come to that, and what is standard error is the command's
        log.exception("the keeper of a run")
        os.write(lifeline, f"{type(fault).__name__}: {fault}".encode())
    finally:
        os._exit(status)


class Keeper:
    """One loop over everything that may happen."""

    def __init__(self, run: Run, lifeline: int) -> None:
        self._run = run
        self._lifeline = lifeline
        spaces = (os.open(f"/proc/self/ns/{kind}", os.O_RDONLY) for kind in ("user", "mnt"))
        self._room = door.Room(run.machine, run.mapped, *spaces)
        self._poll = select.poll()
        self._events: dict[int, Callable[[int], None]] = {}
        self._answers: Answers | None = None
        self._placeholders: Placeholders | None = None
        self._watch(lifeline, lambda _: self._forget(lifeline))
        self._watch(run.entrance.fileno(), self._open)
        if bell := run.bell:
            shown = self._placeholders = Placeholders(run.machine, self._watch, self._forget)
            self._watch(bell.fileno(), lambda _: shown.changed(door.numbers(bell)))

    def let_go_of_files(self) -> None:
        """The command's own: a reader of its output waits for the last who might write."""
        nothing = os.open(os.devnull, os.O_RDWR)
        for standard in STANDARD:
            os.dup2(nothing, standard)
        with os.scandir("/proc/self/fd") as entries:
            files = {int(entry.name) for entry in entries}
        for file in files - {*self._events, self._room.user, self._room.mounts, *STANDARD}:
            os.closerange(file, file + 1)  # not even there: the directory that was just listed

    def serve(self) -> None:
        """Until the other end of the lifeline closes."""
        while self._lifeline in self._events:
            self._turn()

    def end(self, inside: Inside) -> None:
        """End whoever is left, serving them to the last."""
        for number, seconds in LEAVE:
            if not inside.signal(number):
                break
            end = time.monotonic() + seconds
            while inside.processes() and time.monotonic() < end:
                self._turn(TURN_SECONDS)
        if self._placeholders:
            self._placeholders.end()

    def _turn(self, seconds: float | None = None) -> None:
        for file, event in self._poll.poll(seconds and seconds * 1000):
            try:
                self._events[file](event)
            except Exception:
                log.exception("the keeper of %s", self._run.machine)

    def _watch(self, file: int, event: Callable[[int], None]) -> None:
        self._events[file] = event
        self._poll.register(file, select.POLLIN)

    def _forget(self, file: int) -> None:
        self._poll.unregister(file)
        del self._events[file]

    def _open(self, _event: int) -> None:
        connection, _ = self._run.entrance.accept()
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
        answers = self._answers = self._answers or Answers(self._cover_status)

        def event(kind: int) -> None:
            if kind & select.POLLIN:
                answers.answer(listener)
            else:  # nobody is left who could ask
                self._forget(listener)
                os.close(listener)

        self._watch(listener, event)

    def _cover_status(self, pid: int) -> None:
        """Cpus_allowed and Mems_allowed are the machine's: libnuma and hwloc look here."""
        try:
            syscalls.bind(f"{self._run.machine}/vmfs/status.{pid}", f"/proc/{pid}/status")
        except OSError:
            if Path(f"/proc/{pid}").exists():
                raise
