"""System calls that wait for an answer of ours: seccomp user notification, see seccomp_unotify(2).

libseccomp writes the filter; what is notified is received and answered by ioctl(2), since that happens
in another process than the one that the filter is for.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

ALLOW = 0x7FFF0000
NOTIFY = 0x7FC00000
ATTRIBUTE_BAD_ARCH = 2
ATTRIBUTE_NO_NEW_PRIVS = 3

ATTRIBUTES = {ATTRIBUTE_BAD_ARCH: ALLOW, ATTRIBUTE_NO_NEW_PRIVS: 0}

RECEIVE = 0xC0502100
SEND = 0xC0182101
ID_VALID = 0x40082102
GO_ON = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE

NOTIFICATION = struct.Struct("=QIIiIQ6Q")
RESPONSE = struct.Struct("=QqiI")
ID = struct.Struct("=Q")


class Unavailable(Exception):
    """Why no call can be answered here."""


def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    except OSError:
        raise Unavailable("libseccomp is not installed: apt install libseccomp2") from None
    if not hasattr(library, "seccomp_notify_fd"):
        raise Unavailable("libseccomp is older than 2.5, which knows notifications")
    library.seccomp_init.restype = ctypes.c_void_p
    return library


def number(name: str) -> int:
    """Of the system call on this architecture; Unavailable without libseccomp."""
    return int(_library().seccomp_syscall_resolve_name(name.encode()))


def notify_of(names: Iterable[str]) -> int:
    """From now on these calls, of this process and all it starts, wait; returns where they are received.

    It needs CAP_SYS_ADMIN in this user namespace, so that no_new_privs is not set. Unavailable.
    """
    library = _library()
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(ALLOW)))
    try:
        for attribute, value in ATTRIBUTES.items():
            _checked(library.seccomp_attr_set(context, attribute, ctypes.c_uint32(value)))
        for name in names:
            call = library.seccomp_syscall_resolve_name(name.encode())
            _checked(library.seccomp_rule_add(context, ctypes.c_uint32(NOTIFY), call, 0))
        _checked(library.seccomp_load(context))
        return int(library.seccomp_notify_fd(context))
    finally:
        library.seccomp_release(context)


def _checked(result: int) -> None:
    if result < 0:
        # libseccomp does not tell the kernel's EBUSY from other errors
        filtered = re.search(r"^Seccomp:\s+2$", Path("/proc/self/status").read_text(), re.MULTILINE)
        why = "another supervisor may answer system calls already" if filtered else os.strerror(-result)
        raise Unavailable(f"the kernel refuses the filter: {why}")


class Call:
    """A process `pid` waits in the system call `number` until it is answered."""

    def __init__(self, listener: int) -> None:
        """OSError ENOENT: whoever waited does so no longer."""
        raw = bytearray(NOTIFICATION.size)
        fcntl.ioctl(listener, RECEIVE, raw)
        self._listener = listener
        self.pid: int
        self.number: int
        self._id, self.pid, _flags, self.number, _arch, _ip, *rest = NOTIFICATION.unpack(raw)
        self.args: list[int] = rest

    def read(self, address: int, size: int) -> bytes:
        """Of the process's memory; EFAULT where it has none."""
        with self._memory("rb") as memory:
            return os.pread(memory.fileno(), size, address)

    def write(self, address: int, data: bytes) -> None:
        with self._memory("r+b") as memory:
            os.pwrite(memory.fileno(), data, address)

    def answer(self, value: int) -> None:
        self._respond(value, 0, 0)

    def fail(self, number: int) -> None:
        self._respond(0, -number, 0)

    def go_on(self) -> None:
        """The kernel does the call as if nobody had asked."""
        self._respond(0, 0, GO_ON)

    def _respond(self, value: int, error: int, flags: int) -> None:
        try:
            fcntl.ioctl(self._listener, SEND, RESPONSE.pack(self._id, value, error, flags))
        except FileNotFoundError:
            return  # it was killed, or a signal made it start the call again

    @contextmanager
    def _memory(self, mode: str) -> Iterator[IO[bytes]]:
        try:
            with Path(f"/proc/{self.pid}/mem").open(mode, buffering=0) as memory:
                # the pid still stands for the process that asked: pids are used again
                fcntl.ioctl(self._listener, ID_VALID, ID.pack(self._id))
                yield memory
        except (OSError, OverflowError) as fault:
            if isinstance(fault, OverflowError) or fault.errno == errno.EIO:
                raise OSError(errno.EFAULT, os.strerror(errno.EFAULT)) from None
            raise
