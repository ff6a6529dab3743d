"""/dev/kmsg: a record of the kernel's log a read (kernel/printk/printk.c: devkmsg_read() and its like).

It is a regular file here, so a read at the end gives nothing, where the kernel would wait for the
next record; a descriptor that does not wait is told EAGAIN, and poll(2) waits as it does there.
"""

from __future__ import annotations

import os
import re
import select
from errno import EAGAIN, EINVAL, EPERM, EPIPE, ESPIPE
from itertools import accumulate
from typing import TYPE_CHECKING

from vmfs.kernel import Feature
from vmfs.mm.printk import LOG_USER, SECOND, Level, Log, Ratelimit, Record
from vmfs.views.entry import File, Opener, OpenFile, Shape, top
from vmfs.views.kstrtox import c_string
from vmfs.views.tunable import fail

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

RATELIMIT = 5 * SECOND, 10
LINE_BYTES = {False: 992, True: 1024}  # LOG_LINE_MAX, with and without room for a prefix
PREFIX = re.compile(rb"<(\d*)>")
LEVELS, FACILITY_SHIFT = 8, 3
READABLE = select.POLLIN | select.POLLRDNORM


def text(record: Record) -> bytes:
    """info_print_ext_header() and msg_add_ext_text(): what is no printable ASCII is escaped."""
    raw = record.text.encode(errors="surrogateescape")
    shown = "".join(chr(c) if 32 <= c < 127 and c != 92 else f"\\x{c:02x}" for c in raw)
    priority = record.facility << FACILITY_SHIFT | record.level
    return f"{priority},{record.sequence},{record.microsecs},-;{shown}\n".encode()


def read(machine: Machine) -> str:
    """All records that the ring still holds."""
    return "".join(text(record).decode() for record in machine.log.records)


class KmsgFile(OpenFile):
    """`_next` is the number of the record to be read next, `_offset` where reads have got to."""

    def __init__(self, machine: Machine, opener: Opener) -> None:
        self._machine = machine
        self._waits = not opener.flags & os.O_NONBLOCK
        self._next = self._log.first_sequence
        self._offset = 0
        self._polled = self._log.next_sequence
        self._limit = Ratelimit(*RATELIMIT)

    @property
    def _log(self) -> Log:
        return self._machine.log

    def read(self, size: int, offset: int) -> bytes:
        """EPIPE where records were overwritten before they were read, EINVAL where one does not fit."""
        if offset != self._offset:
            self._seek(offset)
        if self._next < self._log.first_sequence:
            self._next = self._log.first_sequence
            raise fail(EPIPE)
        record = self._log.record(self._next)
        if record is None:
            if self._waits:
                return b""
            raise fail(EAGAIN)
        line = text(record)
        if len(line) > size:
            raise fail(EINVAL)
        self._next += 1
        self._offset += len(line)
        return line

    def _seek(self, offset: int) -> None:
        """To the first record, behind the last, or to where one begins: offsets count from the first."""
        ends = list(accumulate(len(text(record)) for record in self._log.records))
        starts = [0, *ends]
        if offset < starts[-1] and offset not in starts:
            raise fail(ESPIPE)
        behind = offset >= starts[-1]
        self._next = self._log.first_sequence + (len(ends) if behind else starts.index(offset))
        self._offset = offset

    def write(self, data: bytes, offset: int) -> int:  # noqa: ARG002
        """devkmsg_write(): a line of user space, with `<N>` in front where it has a level."""
        sysctl = self._machine.sysctl
        if len(data) > LINE_BYTES[self._machine.kernel.has(Feature.KMSG_LINE_WHOLE)]:
            raise fail(EINVAL)
        now = self._machine.clock.microsecs
        allowed = sysctl.printk_devkmsg == "on" or self._limit.allows(now)
        if sysctl.printk_devkmsg != "off" and allowed:
            level, facility, line = _parsed(c_string(data), sysctl.printk[1])
            self._log.emit(level, line.decode(errors="surrogateescape"), now, facility)
            self._machine.touch()
        self.written += len(data)
        return len(data)

    def poll(self) -> int:
        self._polled = self._log.next_sequence
        if self._next < self._log.first_sequence:
            return READABLE | select.POLLERR | select.POLLPRI
        return READABLE if self._next < self._log.next_sequence else 0

    def wakes(self) -> bool:
        return self._polled < self._log.next_sequence

    def release(self) -> None:
        """ratelimit_state_exit(): tells what was dropped."""
        if self._limit.missed:
            who = self._machine.current.comm
            dropped = f"{self._limit.missed} output lines suppressed due to ratelimiting"
            self._machine.printk(Level.WARNING, f"{who}: {dropped}")
            self._machine.touch()


def _parsed(line: bytes, default_level: int) -> tuple[int, int, bytes]:
    """Level, facility and text."""
    found = PREFIX.match(line)
    if not found:
        return default_level, LOG_USER, line
    number = int(found[1] or b"0")
    return number % LEVELS, number >> FACILITY_SHIFT or LOG_USER, line[found.end() :]


def opened(machine: Machine, opener: Opener) -> OpenFile:
    """devkmsg_open(): EPERM where the log is not for everybody, or shut."""
    reads = opener.flags & os.O_ACCMODE != os.O_WRONLY
    restricted = reads and machine.sysctl.dmesg_restrict and not opener.root
    if restricted or machine.sysctl.printk_devkmsg == "off":
        raise fail(EPERM)
    return KmsgFile(machine, opener)


def shape(machine: Machine) -> Shape:
    return Shape(sum(len(text(record)) for record in machine.log.records))


DIRS = (top("/dev", File("kmsg", read, mode=0o644, open=opened, shape=shape)),)
