"""How far counters moved in a step, here and on a kernel.

Where the same machine was recorded again, each of its recordings is what a kernel does: a direction that
agrees with another one, or an amount that lies between them, is counted apart.
"""

from __future__ import annotations

import re

from tests.conformance.agreement import Agreement

Counts = dict[str, int]
Pair = tuple[Counts, Counts]
"""Before a step and after it: pages (huge pages for HugePages_*) by name, of meminfo and vmstat."""

AMOUNTS = ("MemFree", "Cached", "SReclaimable", "AnonPages", "SwapFree")
POOL = ("HugePages_Total", "HugePages_Free", "HugePages_Rsvd", "HugePages_Surp")
QUIET = ("37", "38")
"""Steps that give memory back: what is scanned, read and swapped then is the recorder's own as well."""

STORED = re.compile(r"[A-Z].*|nr_(?!dirtied|written|vmscan|foll_pin).*")
"""Counters of pages that are somewhere; the others count events."""

ARITHMETIC = ("10", "11", "12", "13", "14", "21")
"""Steps that move counts and reclaim nothing."""


def directions(step: str, kernels: list[Pair], ours: Pair, agreement: Agreement) -> None:
    """Counters that moved by more than 1 % of memory on the first of the kernels moved the same way."""
    first = kernels[0]
    least = first[1]["MemTotal"] / 100
    quiet = step.startswith(QUIET)
    for name in (n for n in first[1] if n in first[0] and (STORED.fullmatch(n) or not quiet)):
        moved = [after.get(name, 0) - before.get(name, 0) for before, after in kernels]
        if abs(moved[0]) > least:
            mine = ours[1].get(name, 0) - ours[0].get(name, 0)
            agree = [_same_way(each, mine, least) for each in moved]
            where = f"{name} moved by"
            agreement.judge(step, where, moved[0], mine, agree=agree[0], again=any(agree))


def _same_way(moved: int, mine: int, least: float) -> bool:
    return moved * mine > 0 if abs(moved) > least else abs(mine) <= least


def amounts(step: str, kernels: list[Counts], ours: Counts, agreement: Agreement) -> None:
    percent = 2 if step[:2] in ARITHMETIC else 5
    limit = kernels[0]["MemTotal"] * percent / 100
    huge = kernels[0]["Hugepagesize"]
    for name, unit in [*((name, 1) for name in AMOUNTS), *((name, huge) for name in POOL)]:
        there, mine = [kernel[name] for kernel in kernels], ours[name]
        near = abs(there[0] - mine) * unit <= limit
        between = min(there) - limit / unit <= mine <= max(there) + limit / unit
        agreement.judge(step, f"{name} within {percent} %", there[0], mine, agree=near, again=between)
