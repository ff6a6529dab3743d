"""How to find a run that goes on, and to talk to its keeper: Unix sockets of the abstract namespace.

They need no file and end with the keeper. A run is known by the pid of its `vmfs run`.
"""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

NAME = "vmfs/run/"
MOST_FILES = 2
MOST_BYTES = 4096
MOST_BELL_BYTES = 1 << 17

JOIN = b"join"
LISTENER = b"listener"


class Room(NamedTuple):
    """The namespaces of a run. `user` is of use where `mapped`: else it is the host's."""

    root: str
    mapped: bool
    user: int
    mounts: int


def listen(pid: int) -> socket.socket:
    server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server.bind(f"\0{NAME}{pid}")
    server.listen()
    return server


def connect(pid: int) -> socket.socket:
    """OSError: no such run."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    client.connect(f"\0{NAME}{pid}")
    return client


def runs() -> list[int]:
    """All that can be seen from here, whosever they are."""
    text = Path("/proc/net/unix").read_text("utf-8", "replace")
    return sorted({int(pid) for pid in re.findall(rf"@{NAME}(\d+)$", text, re.MULTILINE)})


def ask_to_join(client: socket.socket) -> Room:
    client.send(JOIN)
    data, files, _, _ = socket.recv_fds(client, MOST_BYTES, MOST_FILES)
    said = json.loads(data)
    return Room(said["root"], said["mapped"], *files)


def let_join(connection: socket.socket, room: Room) -> None:
    said = json.dumps({"root": room.root, "mapped": room.mapped}).encode()
    socket.send_fds(connection, [said], [room.user, room.mounts])


def hand_over(client: socket.socket, listener: int) -> None:
    """The system calls that wait at `listener` are the keeper's to answer."""
    socket.send_fds(client, [LISTENER], [listener])
    os.close(listener)


def bell() -> tuple[socket.socket, socket.socket]:
    """For one to ring and one to hear which tasks there are."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def ring(ringing: socket.socket, tasks: Iterable[int]) -> None:
    """BlockingIOError: too much has not been heard yet."""
    ringing.send(" ".join(map(str, tasks)).encode() or b" ", socket.MSG_DONTWAIT)


def numbers(heard: socket.socket) -> set[int]:
    return {int(word) for word in heard.recv(MOST_BELL_BYTES).split()}
