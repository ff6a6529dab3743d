"""What is mounted where, and which process answers there, learnt without touching the mount.

A daemon may hang or be dead, and then whoever asks its mount hangs or fails too. So the kernel's
table says what is mounted, and a Unix socket in the abstract namespace, named after the mount's
device number, says who serves it: it needs no file and ends with the daemon.
"""

from __future__ import annotations

import os
import re
import socket
import struct
import time
from pathlib import Path
from typing import NamedTuple

KIND = "fuse.vmfs"
NAME_TRIES = 20
NAME_TRY_SECONDS = 0.01
PEER_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


class MountError(Exception):
    """One line: what is wrong, and what to do."""


class Mount(NamedTuple):
    """A line of /proc/self/mountinfo, as far as it matters here."""

    device: str  # "0:53"
    path: str
    kind: str


def mount_at(path: str) -> Mount | None:
    """The topmost mount whose mount point is `path`."""
    found = None
    for line in Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape").splitlines():
        fields, _, source = line.partition(" - ")
        _, _, device, _, where, *_ = fields.split(" ")
        if re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), where) == path:
            found = Mount(device, path, source.split(" ")[0])
    return found


def absolute(path: str | os.PathLike[str]) -> str:
    """With links resolved but for the last name, which a dead mount would not let us look at."""
    given = Path(path).absolute()
    whole = given.parent.resolve() / given.name
    return str(whole if mount_at(str(whole)) else given.resolve())


def announce(mount: Mount) -> socket.socket:
    """Say, as long as the socket is open, that this process serves the mount.

    A daemon that is just ending may hold the name of a device number that is in use again: for so
    long, and should it go on for ever, nobody is announced.
    """
    server = socket.socket(socket.AF_UNIX)
    for _ in range(NAME_TRIES):
        try:
            server.bind(_name(mount))
            server.listen(socket.SOMAXCONN)
            break
        except OSError:
            time.sleep(NAME_TRY_SECONDS)
    return server


def daemon_of(mount: Mount) -> int | None:
    """The process that serves the mount, or 0 for one that has been asked for too often to say.

    None: it died, or lives in another network namespace.
    """
    with socket.socket(socket.AF_UNIX) as client:
        client.setblocking(False)
        try:
            client.connect(_name(mount))
        except BlockingIOError:  # nobody accepts the connections, so they queue up
            return 0
        except OSError:
            return None
        peer = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER_CREDENTIALS.size)
    return int(PEER_CREDENTIALS.unpack(peer)[0])


def _name(mount: Mount) -> str:
    return f"\0vmfs/{mount.device}"
