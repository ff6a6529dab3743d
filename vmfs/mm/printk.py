"""The kernel's log: a ring of records (kernel/printk/printk.c, printk_ringbuffer.c).

A record is what one printk() said, newlines inside included. All records of one call carry the same
time: nothing passes between two lines. Consoles do not exist, so kernel.printk only is stored.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

LOG_BUF_BYTES = 1 << 17  # CONFIG_LOG_BUF_SHIFT
CPU_BUF_BYTES = 1 << 12  # CONFIG_LOG_CPU_MAX_BUF_SHIFT
RECORD_BYTES = 32  # PRB_AVGBITS: the ring has a descriptor for so many bytes of text
ID_BYTES = 8  # in front of each text
LINE_BYTES = 1024  # LOG_LINE_MAX: a longer text is cut
LOG_KERN, LOG_USER = 0, 1
SECOND = 1_000_000


class Level(IntEnum):
    """KERN_EMERG ... KERN_DEBUG"""

    EMERG = 0
    ALERT = 1
    CRIT = 2
    ERR = 3
    WARNING = 4
    NOTICE = 5
    INFO = 6
    DEBUG = 7


class Record(NamedTuple):
    """struct printk_record"""

    sequence: int
    level: int
    facility: int
    microsecs: int
    text: str

    @property
    def size(self) -> int:
        """Bytes of the ring it takes."""
        return ID_BYTES + -(-len(self.text.encode(errors="surrogateescape")) // ID_BYTES) * ID_BYTES


@dataclass(slots=True)
class Ratelimit:
    """struct ratelimit_state: `burst` times an interval; what was refused is told when the next begins."""

    interval_microsecs: int
    burst: int
    begin: int | None = None
    printed: int = 0
    missed: int = 0

    def allows(self, now: int) -> bool:
        """___ratelimit(); `callbacks_suppressed` is to be asked first."""
        if self.begin is None or now >= self.begin + self.interval_microsecs:
            self.begin, self.printed = now, 0
        allowed = self.printed < self.burst
        self.printed += allowed
        self.missed += not allowed
        return allowed

    def callbacks_suppressed(self, now: int) -> int:
        """How many were refused in an interval that is over by now; they are told once."""
        if self.begin is None or now < self.begin + self.interval_microsecs:
            return 0
        missed, self.missed = self.missed, 0
        return missed


@dataclass(slots=True)
class Log:
    """The records that the ring still holds, the oldest first."""

    size_bytes: int = LOG_BUF_BYTES
    records: deque[Record] = field(default_factory=deque)
    next_sequence: int = 0
    _used_bytes: int = 0
    _said: set[str] = field(default_factory=set)
    limits: dict[str, Ratelimit] = field(default_factory=dict)

    @classmethod
    def of(cls, nr_possible_cpus: int) -> Log:
        """log_buf_add_cpu(): many CPUs make the ring larger."""
        extra = (nr_possible_cpus - 1) * CPU_BUF_BYTES
        if extra <= LOG_BUF_BYTES // 2:
            return cls()
        return cls(1 << (extra + LOG_BUF_BYTES - 1).bit_length())

    @property
    def first_sequence(self) -> int:
        return self.next_sequence - len(self.records)

    def record(self, sequence: int) -> Record | None:
        """The record of that number; None where it was overwritten or is still to come."""
        index = sequence - self.first_sequence
        return self.records[index] if 0 <= index < len(self.records) else None

    def emit(self, level: int, text: str, microsecs: int, facility: int = LOG_KERN) -> None:
        """vprintk_store(): the oldest records make room."""
        text = text.removesuffix("\n")
        encoded = text.encode(errors="surrogateescape")[:LINE_BYTES]
        record = Record(
            self.next_sequence, level, facility, microsecs, encoded.decode(errors="surrogateescape")
        )
        self.next_sequence += 1
        self.records.append(record)
        self._used_bytes += record.size
        while self._used_bytes > self.size_bytes or len(self.records) > self.size_bytes // RECORD_BYTES:
            self._used_bytes -= self.records.popleft().size

    def first_time(self, message: str) -> bool:
        """printk_once(): whether `message` was never asked about before."""
        new = message not in self._said
        self._said.add(message)
        return new

    def ratelimit(self, name: str, interval_microsecs: int, burst: int, now: int) -> bool:
        """__ratelimit() of the function `name`, with its line about what was suppressed."""
        state = self.limits.setdefault(name, Ratelimit(interval_microsecs, burst))
        if missed := state.callbacks_suppressed(now):
            self.emit(Level.WARNING, f"{name}: {missed} callbacks suppressed", now)
        return state.allows(now)


def warn_sysctl_write(machine: Machine, name: str) -> None:
    """kernel/sysctl.c: once, where a write behind the start is still taken for one at the start."""
    if machine.log.first_time("sysctl_writes_strict"):
        machine.warn(
            f"{machine.current.comm} wrote to {name} when file position was not 0!\n"
            "This will not be supported in the future. To silence this\n"
            "warning, set kernel.sysctl_writes_strict = -1"
        )
