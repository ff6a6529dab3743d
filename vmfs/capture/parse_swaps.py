"""/proc/swaps, as mm/swapfile.c: swap_show() writes it."""

from __future__ import annotations

import re

from vmfs.capture.text import Text
from vmfs.mm.mmzone import PAGE_SHIFT
from vmfs.mm.snapshot import SwapState

_LINE = re.compile(r"(\S+)\s+(partition|file)\s+(\d+)\s+(\d+)\s+(-?\d{1,6})")
_OCTAL = re.compile(r"\\([0-7]{3})")


def unescape(path: str) -> str:
    """seq_path() and mangle(): blank, tab, newline and backslash are written as octal."""
    return _OCTAL.sub(lambda found: chr(int(found[1], 8)), path)


def parse_swaps(text: Text) -> list[SwapState]:
    """The areas in the order of activation."""
    if not text.lines or text.lines[0].split() != ["Filename", "Type", "Size", "Used", "Priority"]:
        raise text.error(1, "expected 'Filename Type Size Used Priority'")
    return [_area(text, number, line) for number, line in text.numbered(2)]


def _area(text: Text, number: int, line: str) -> SwapState:
    found = _LINE.fullmatch(line)
    if not found:
        raise text.error(number, f"not a line of swaps: {line[:40]!r}")
    size, used = (text.number(number, word) >> (PAGE_SHIFT - 10) for word in found.group(3, 4))
    if used > size:
        raise text.error(number, f"{found[1]}: {used} pages used of {size}")
    return SwapState(unescape(found[1]), found[2], size, used, int(found[5]))
