"""CPU and node lists as lib/vsprintf.c: bitmap_list_string() writes them, masks as bitmap_string()."""

from __future__ import annotations

import re

from vmfs.capture.text import Text

_RANGE = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?")
_MASK = re.compile(r"[0-9a-f]{1,8}(,[0-9a-f]{8})*")
LARGEST_ID = 8192
"""More CPUs or nodes than any x86 kernel is built for (NR_CPUS)."""


def parse_list(text: Text) -> tuple[int, ...]:
    """The members of a list: 0-3,8 is (0, 1, 2, 3, 8), an empty line the empty set."""
    line = text.only()
    found: set[int] = set()
    for part in line.split(",") if line else ():
        span = _RANGE.fullmatch(part)
        if not span:
            raise text.error(1, f"expected a list such as 0-3,8, found {line[:40]!r}")
        first, last = int(span[1]), int(span[2] or span[1])
        if last < first or last >= LARGEST_ID:
            raise text.error(1, f"the range {part} is empty or beyond {LARGEST_ID - 1}")
        found.update(range(first, last + 1))
    return tuple(sorted(found))


def parse_mask(text: Text) -> tuple[tuple[int, ...], int]:
    """The members of "03" or "ff,ffffffff", and the least number of bits printed with so many digits."""
    line = text.only()
    if len(line) > LARGEST_ID // 3 or not _MASK.fullmatch(line):
        raise text.error(1, f"expected a mask such as ff,ffffffff, found {line[:40]!r}")
    digits = line.replace(",", "")
    value = int(digits, 16)
    return tuple(bit for bit in range(4 * len(digits)) if value >> bit & 1), 4 * len(digits) - 3
