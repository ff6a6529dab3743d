"""Sets of page frames as ascending, disjoint, half-open ranges: a handful, whatever the memory."""

from __future__ import annotations

from collections.abc import Iterable

Range = tuple[int, int]
Ranges = tuple[Range, ...]


def pages(ranges: Iterable[Range]) -> int:
    return sum(end - start for start, end in ranges)


def clip(ranges: Iterable[Range], start: int, end: int) -> Ranges:
    """What lies in [start, end)."""
    inside = ((max(a, start), min(b, end)) for a, b in ranges)
    return tuple((a, b) for a, b in inside if a < b)


def subtract(ranges: Iterable[Range], taken: Iterable[Range]) -> Ranges:
    """What lies in the first and in none of the second."""
    left = tuple(ranges)
    for start, end in taken:
        left = tuple(
            part for a, b in left for part in ((a, min(b, start)), (max(a, end), b)) if part[0] < part[1]
        )
    return left


def union(ranges: Iterable[Range]) -> Ranges:
    """Sorted, with neighbours joined."""
    joined: list[Range] = []
    for start, end in sorted(r for r in ranges if r[0] < r[1]):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return tuple(joined)


def intersect(ranges: Iterable[Range], others: Iterable[Range]) -> Ranges:
    others = tuple(others)
    return union(part for a, b in ranges for part in clip(others, a, b))
