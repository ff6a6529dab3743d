"""Swap areas (mm/swapfile.c: struct swap_info_struct)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class SwapArea:
    """`pages` are usable pages: one less than the device holds, for the header."""

    name: str
    kind: str
    pages: int
    used: int
    priority: int
