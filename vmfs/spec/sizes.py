"""Sizes and lists as people write them."""

from __future__ import annotations

import re

UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}


class SpecError(ValueError):
    """A description that no machine fits: one line that names the place and what is accepted."""


def parse_size(text: str) -> int:
    """Bytes: "16G" is 16 << 30; K, M, G and T are binary."""
    found = re.fullmatch(r"(\d+)([KMGT]?)", text.strip().upper(), re.ASCII)
    if found is None:
        raise SpecError(f"{text!r} is no size; accepted: a number with K, M, G or T, as 512M")
    return int(found[1]) << UNITS[found[2]]


def format_size(size_bytes: int) -> str:
    """The shortest exact way to write that size."""
    for unit, shift in reversed(UNITS.items()):
        if size_bytes and size_bytes % (1 << shift) == 0:
            return f"{size_bytes >> shift}{unit}"
    return "0"


def parse_list(text: str) -> tuple[int, ...]:
    """A list as the kernel prints them: "0-3,8" is (0, 1, 2, 3, 8); an empty one is ""."""
    numbers: list[int] = []
    for part in filter(None, (p.strip() for p in text.split(","))):
        found = re.fullmatch(r"(\d+)(?:-(\d+))?", part, re.ASCII)
        if found is None:
            raise SpecError(f"{text!r} is no list; accepted: numbers and ranges, as 0-3,8")
        first, last = int(found[1]), int(found[2] or found[1])
        if not first <= last < 1 << 16:
            raise SpecError(f"{part!r} is no range; accepted: from low to high, below 65536")
        numbers.extend(range(first, last + 1))
    return tuple(numbers)
