"""Codecs of sysfs attributes: one value a write, parsed by lib/kstrtox.c and lib/string_helpers.c."""

from __future__ import annotations

import re
from dataclasses import dataclass
from errno import EINVAL, ERANGE

from vmfs.kernel import Feature, Kernel
from vmfs.views.codec import HZ, INT_MAX, UINT_MAX, Parsed, Write, ulong_max

_DIGITS = {8: rb"[0-7]*", 10: rb"[0-9]*", 16: rb"[0-9a-fA-F]*"}


def c_string(data: bytes) -> bytes:
    """Up to the first NUL: what a C string function sees."""
    return data.split(b"\0", 1)[0]


def sysfs_streq(data: bytes, word: str) -> bool:
    """lib/string_helpers.c: equal, but for one newline at the end."""
    return c_string(data).removesuffix(b"\n") == word.encode()


def kstrtoull(data: bytes, base: int, limit: int) -> int:
    """lib/kstrtox.c: an unsigned number not above `limit`; raises EINVAL, or ERANGE when too large."""
    text = c_string(data).removeprefix(b"+")
    if base == 0:
        base = (16 if re.match(rb"0[xX][0-9a-fA-F]", text) else 8) if text.startswith(b"0") else 10
    if base == 16:
        text = re.sub(rb"^0[xX]", b"", text)
    digits = re.match(_DIGITS[base], text)[0]  # type: ignore[index]  # matches at least nothing
    if not digits:
        raise OSError(EINVAL, "not a number")
    value = int(digits, base)
    if value > (1 << 64) - 1:
        raise OSError(ERANGE, "does not fit 64 bits")
    if text[len(digits) :] not in (b"", b"\n"):
        raise OSError(EINVAL, "not only a number")
    if value > limit:
        raise OSError(ERANGE, "does not fit the type")
    return value


def kstrtoint(data: bytes, base: int) -> int:
    """lib/kstrtox.c: a signed number of 32 bits; raises EINVAL, or ERANGE when it does not fit."""
    if data.startswith(b"-"):
        if data[1:2] == b"+":
            raise OSError(EINVAL, "two signs")
        return -kstrtoull(data[1:], base, INT_MAX + 1)
    return kstrtoull(data, base, INT_MAX)


def kstrtobool(data: bytes, kernel: Kernel) -> bool:
    """lib/kstrtox.c: the first letter decides, after an `o` the second; raises EINVAL."""
    text = c_string(data).lower()
    letters = {b"y": True, b"1": True, b"n": False, b"0": False}
    if kernel.has(Feature.KSTRTOBOOL_TRUE_FALSE):
        letters |= {b"t": True, b"f": False}
    if kernel.has(Feature.KSTRTOBOOL_ENABLE_DISABLE):
        letters |= {b"e": True, b"d": False}
    found = {b"on": True, b"of": False}.get(text[:2], letters.get(text[:1]))
    if found is None:
        raise OSError(EINVAL, "neither yes nor no")
    return found


@dataclass(frozen=True, slots=True)
class Number:
    """kstrtouint() or, with `limit` None, kstrtoul(). `overflow`: errno of a number too large.

    Most stores answer EINVAL to whatever the parser says; the rest pass ERANGE on.
    """

    minimum: int = 0
    maximum: int | None = None
    base: int = 10
    limit: int | None = UINT_MAX
    overflow: int = EINVAL

    def format(self, value: int) -> str:
        return f"{value}\n"

    def parse(self, write: Write, old: int) -> Parsed[int]:
        try:
            value = kstrtoull(write.data, self.base, self.limit or ulong_max(write.kernel))
        except OSError as error:
            return Parsed(old, 0, self.overflow if error.errno == ERANGE else EINVAL)
        if value < self.minimum or (self.maximum is not None and value > self.maximum):
            return Parsed(old, 0, EINVAL)
        return Parsed(value, len(write.data))

    def load(self, text: str) -> int:
        return int(text, self.base)


@dataclass(frozen=True, slots=True)
class Flag:
    """kstrtobool(), shown as 1 and 0 or as other `words`."""

    words: tuple[str, str] = ("0", "1")

    def format(self, value: bool) -> str:
        return f"{self.words[value]}\n"

    def parse(self, write: Write, old: bool) -> Parsed[bool]:
        try:
            return Parsed(kstrtobool(write.data, write.kernel), len(write.data))
        except OSError:
            return Parsed(old, 0, EINVAL)

    def load(self, text: str) -> bool:
        return text.strip() == self.words[True]


TRUE_FALSE = Flag(("false", "true"))


class Prefix(Flag):
    """mm/swap_state.c of 5.10: `true`, `1`, `false` or `0`, whatever follows."""

    def parse(self, write: Write, old: bool) -> Parsed[bool]:
        if write.data.startswith((b"true", b"1")):
            return Parsed(True, len(write.data))
        if write.data.startswith((b"false", b"0")):
            return Parsed(False, len(write.data))
        return Parsed(old, 0, EINVAL)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some words, the one in force shown in brackets; `longest` limits the write."""

    words: tuple[str, ...]
    longest: int = 4096

    def format(self, value: str) -> str:
        return " ".join(f"[{word}]" if word == value else word for word in self.words) + "\n"

    def parse(self, write: Write, old: str) -> Parsed[str]:
        if len(write.data) <= self.longest:
            for word in self.words:
                if sysfs_streq(write.data, word):
                    return Parsed(word, len(write.data))
        return Parsed(old, 0, EINVAL)

    def load(self, text: str) -> str:
        found = re.search(r"\[(.+?)\]", text)
        if not found:
            raise ValueError(f"no word in brackets: {text!r}")
        return found[1]


@dataclass(frozen=True, slots=True)
class Millisecs:
    """Milliseconds, kept in ticks: rounded up to the tick (kernel/time/time.c: msecs_to_jiffies())."""

    def format(self, value: int) -> str:
        return f"{value}\n"

    def parse(self, write: Write, old: int) -> Parsed[int]:
        parsed = Number(base=0).parse(write, old)
        return parsed if parsed.errno else Parsed(_to_ticks(parsed.value), parsed.consumed)

    def load(self, text: str) -> int:
        return int(text)


def _to_ticks(msecs: int) -> int:
    """The milliseconds that are read back; half of the range stands for "never"."""
    tick = 1000 // HZ
    return UINT_MAX + 1 - 2 * tick if msecs > UINT_MAX >> 1 else -(-msecs // tick) * tick
