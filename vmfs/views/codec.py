"""Text of one stored value, both ways: one codec for each handler family of the kernel.

A codec formats the whole content of a file, parses one write as the handler would, and loads
captured text without any check. It touches no state: the makers in vmfs/views/tunable.py store
what `parse` says is to be stored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from errno import EINVAL
from typing import Generic, NamedTuple, Protocol, TypeVar

from vmfs.kernel import Feature, Kernel

T = TypeVar("T")

INT_MAX = (1 << 31) - 1
INT_MIN = -(1 << 31)
UINT_MAX = (1 << 32) - 1
HZ = 250
"""Timer ticks a second: CONFIG_HZ of the distributions' kernels."""

SYSCTL_LIMIT = 4095
"""A sysctl handler looks at no more bytes of a write."""
SYSFS_LIMIT = 4096
"""A sysfs attribute is handed no more bytes of a write, and takes no more."""

_SPACES = b"\t\n\v\f\r \xa0"  # isspace() of lib/ctype.c
_NUMBER = re.compile(rb"(-?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)")
_TOKEN_LIMIT = 21


class Write(NamedTuple):
    """One write() as a handler sees it; `offset` is 0 unless the kernel is strict about offsets."""

    data: bytes
    offset: int
    kernel: Kernel


@dataclass(frozen=True, slots=True)
class Parsed(Generic[T]):
    """`value` is what the file holds afterwards, also where `errno` says that the write failed."""

    value: T
    consumed: int
    errno: int = 0


class Codec(Protocol[T]):
    def format(self, value: T) -> str: ...
    def parse(self, write: Write, old: T) -> Parsed[T]: ...
    def load(self, text: str) -> T: ...


def ulong_max(kernel: Kernel) -> int:
    return (1 << (32 if kernel.has(Feature.HIGHMEM) else 64)) - 1


class Number(NamedTuple):
    negative: bool
    magnitude: int
    end: int

    @property
    def value(self) -> int:
        return -self.magnitude if self.negative else self.magnitude


Convert = Callable[[Number, int, Kernel], "int | None"]
"""A number as written and the value it replaces -> the value to store, or None: refused."""


def _get_long(data: bytes, start: int, limit: int) -> Number | None:
    """kernel/sysctl.c: proc_get_long(): the number that begins at `start`, or None."""
    found = _NUMBER.match(data, start)
    if not found or found.end() - start >= _TOKEN_LIMIT:
        return None
    end = found.end()
    magnitude = _c_integer(found[2])
    if magnitude > limit or (end < len(data) and data[end] not in b" \t\n"):
        return None
    return Number(found[1] == b"-", magnitude, end)


def _c_integer(digits: bytes) -> int:
    """Base 0 as in C: 0x1f, 017, 15."""
    if digits[:2].lower() == b"0x":
        return int(digits, 16)
    return int(digits, 8) if digits.startswith(b"0") else int(digits)


def _skip_spaces(data: bytes, at: int) -> int:
    while at < len(data) and data[at] in _SPACES:
        at += 1
    return at


def parse_vector(write: Write, old: Sequence[int], convert: Convert) -> Parsed[list[int]]:
    """kernel/sysctl.c: __do_proc_dointvec(): numbers stored one by one until one is refused.

    A write behind the start of the file is taken whole and ignored. Where the first number is bad
    `consumed` is the whole write: lowmem_reserve_ratio reports it as success.
    """
    values, size = list(old), len(write.data)
    if not size or write.offset:
        return Parsed(values, size)
    data = write.data[:SYSCTL_LIMIT]
    at, stored, errno = 0, 0, 0
    for i in range(len(values)):
        at = _skip_spaces(data, at)
        if at == len(data):
            break
        number = _get_long(data, at, ulong_max(write.kernel))
        at = number.end if number else at
        value = convert(number, values[i], write.kernel) if number else None
        if value is None:
            errno = EINVAL
            break
        values[i], stored = value, stored + 1
    if not stored:
        return Parsed(values, size, EINVAL)
    at = at if errno else _skip_spaces(data, at)
    return Parsed(values, size - (len(data) - at), errno)


class _Scalar:
    """A file of one number; the subclass says which numbers it takes."""

    def convert(self, number: Number, old: int, kernel: Kernel) -> int | None:
        raise NotImplementedError

    def format(self, value: int) -> str:
        return f"{value}\n"

    def parse(self, write: Write, old: int) -> Parsed[int]:
        parsed = parse_vector(write, (old,), self.convert)
        return Parsed(parsed.value[0], parsed.consumed, parsed.errno)

    def load(self, text: str) -> int:
        return int(text.split(maxsplit=1)[0])


@dataclass(frozen=True)
class Int(_Scalar):
    """proc_dointvec() and proc_dointvec_minmax(); `refused` names a gap inside the bounds."""

    minimum: int = INT_MIN
    maximum: int = INT_MAX
    refused: range = range(0)

    def convert(self, number: Number, old: int, kernel: Kernel) -> int | None:  # noqa: ARG002
        value = number.value
        return value if self.minimum <= value <= self.maximum and value not in self.refused else None


@dataclass(frozen=True)
class UInt(_Scalar):
    """proc_douintvec() and proc_douintvec_minmax(): whatever follows the number is taken as well."""

    minimum: int = 0
    maximum: int = UINT_MAX

    def convert(self, number: Number, old: int, kernel: Kernel) -> int | None:  # noqa: ARG002
        fits = not number.negative and self.minimum <= number.magnitude <= self.maximum
        return number.magnitude if fits else None

    def parse(self, write: Write, old: int) -> Parsed[int]:
        parsed = super().parse(write, old)
        return Parsed(parsed.value, len(write.data), parsed.errno)


@dataclass(frozen=True)
class ULong(_Scalar):
    """proc_doulongvec_minmax(); 5.10 skips a negative number and calls the write a success."""

    minimum: int = 0
    maximum: int | None = None

    def convert(self, number: Number, old: int, kernel: Kernel) -> int | None:
        if number.negative:
            return old if kernel.has(Feature.ULONG_SKIPS_NEGATIVE) else None
        fits = self.minimum <= number.magnitude and (self.maximum is None or number.magnitude <= self.maximum)
        return number.magnitude if fits else None


@dataclass(frozen=True)
class Jiffies(_Scalar):
    """proc_dointvec_jiffies(): seconds, kept by the kernel as an int of ticks."""

    def convert(self, number: Number, old: int, kernel: Kernel) -> int | None:  # noqa: ARG002
        return number.value if number.magnitude <= INT_MAX // HZ else None


@dataclass(frozen=True)
class Bool(_Scalar):
    """proc_dobool(): any number but 0 is 1. 6.1 takes what fits a long, later kernels an int."""

    def convert(self, number: Number, old: int, kernel: Kernel) -> int | None:  # noqa: ARG002
        fits = kernel.has(Feature.DOBOOL_TAKES_LONG) or INT_MIN <= number.value <= INT_MAX
        return int(number.magnitude != 0) if fits else None


@dataclass(frozen=True)
class Ignored(_Scalar):
    """A handler that takes any bytes and looks at none."""

    def parse(self, write: Write, old: int) -> Parsed[int]:
        return Parsed(old, len(write.data))


@dataclass(frozen=True, slots=True)
class IntVector:
    """proc_dointvec() on an array; what precedes a bad number stays stored."""

    element: Int = field(default_factory=Int)

    def format(self, value: Sequence[int]) -> str:
        return "\t".join(map(str, value)) + "\n"

    def parse(self, write: Write, old: Sequence[int]) -> Parsed[list[int]]:
        return parse_vector(write, old, self.element.convert)

    def load(self, text: str) -> list[int]:
        return [int(word) for word in text.split()]


class LowmemReserveRatio(IntVector):
    """mm/page_alloc.c: lowmem_reserve_ratio_sysctl_handler(): never fails, and below 1 means off."""

    def parse(self, write: Write, old: Sequence[int]) -> Parsed[list[int]]:
        parsed = super().parse(write, old)
        return Parsed([max(0, ratio) for ratio in parsed.value], parsed.consumed)


@dataclass(frozen=True, slots=True)
class String:
    """proc_dostring(): a write goes on where the offset is; NUL and newline end the text."""

    size: int  # of the kernel's buffer, NUL included

    def format(self, value: str) -> str:
        return f"{value}\n"

    def parse(self, write: Write, old: str) -> Parsed[str]:
        if write.offset > min(len(old), self.size - 1):
            return Parsed(old, len(write.data))
        if not write.data:
            return Parsed(old, 0)
        added = write.data.partition(b"\n")[0].partition(b"\0")[0].decode(errors="surrogateescape")
        return Parsed((old[: write.offset] + added)[: self.size - 1], len(write.data))

    def load(self, text: str) -> str:
        return text.removesuffix("\n")


@dataclass(frozen=True, slots=True)
class Either(Generic[T]):
    """Two codecs for one file: `since` on kernels that have the feature, `before` on the others."""

    feature: Feature
    since: Codec[T]
    before: Codec[T]

    def format(self, value: T) -> str:
        return self.since.format(value)

    def parse(self, write: Write, old: T) -> Parsed[T]:
        return (self.since if write.kernel.has(self.feature) else self.before).parse(write, old)

    def load(self, text: str) -> T:
        return self.since.load(text)
