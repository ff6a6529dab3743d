"""Sets of nodes and CPUs as text (lib/vsprintf.c)."""

from __future__ import annotations

from collections.abc import Iterable


def id_list(ids: Iterable[int]) -> str:
    """bitmap_list_string(), `%*pbl`: 0-2,8; nothing for the empty set."""
    ranges: list[list[int]] = []
    for i in sorted(ids):
        if ranges and i == ranges[-1][1] + 1:
            ranges[-1][1] = i
        else:
            ranges.append([i, i])
    return ",".join(f"{a}-{b}" if b > a else str(a) for a, b in ranges)
