"""A captured file as numbered lines, and the one error a capture is refused with.

Every parser of this package takes a `Text` and answers plain numbers; what it cannot read it
refuses with the file, the line and the reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_WRAPPED = 1 << 63
_LARGEST = 1 << 60
_SHOWN = 40


class CaptureError(Exception):
    """A capture that cannot be believed: which file, which line (0: all of it), why."""

    def __init__(self, file: str, line: int, reason: str) -> None:
        self.file, self.line, self.reason = file, line, reason
        super().__init__(f"{file}:{line}: {reason}" if line else f"{file}: {reason}")


@dataclass(frozen=True, slots=True)
class Text:
    """One file of the capture: its path below the capture's top, and its lines without newlines."""

    path: str
    lines: tuple[str, ...]

    @classmethod
    def of(cls, path: str, data: bytes) -> Text:
        """Refuses what is no text, and a last line that was cut (the kernel ends each with a newline)."""
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            raise CaptureError(path, data[: error.start].count(b"\n") + 1, "not UTF-8 text") from None
        lines = text.split("\n")
        if "\0" in text:
            raise CaptureError(path, text[: text.index("\0")].count("\n") + 1, "binary data, not text")
        if lines.pop():
            raise CaptureError(path, len(lines) + 1, "the line is cut: it does not end with a newline")
        return cls(path, tuple(lines))

    def numbered(self, first: int = 1) -> Iterator[tuple[int, str]]:
        """Each line from `first` on, with its number from 1."""
        return enumerate(self.lines[first - 1 :], first)

    def error(self, line: int, reason: str) -> CaptureError:
        return CaptureError(self.path, line, reason)

    def number(self, line: int, word: str) -> int:
        """An unsigned long as the kernel prints it; a count that went below zero is 0."""
        if not (word.isascii() and word.isdigit()):
            raise self.error(line, f"expected a number, found {_quote(word)}")
        value = int(word) if len(word) <= len(str(1 << 64)) else 1 << 64
        if _LARGEST <= value < _WRAPPED or value >= 1 << 64:
            raise self.error(line, f"the number {_quote(word)} is out of range")
        return 0 if value >= _WRAPPED else value

    def numbers(self, line: int, words: str) -> list[int]:
        return [self.number(line, word) for word in words.split()]

    def only(self) -> str:
        """The line of a file of one line."""
        if len(self.lines) != 1:
            raise self.error(min(len(self.lines), 2), f"expected one line, found {len(self.lines)}")
        return self.lines[0]

    def value(self) -> int:
        """The number of a file that holds nothing else."""
        return self.number(1, self.only().strip())


def _quote(word: str) -> str:
    return repr(word if len(word) <= _SHOWN else word[:_SHOWN] + "...")
