"""Swap readahead: what /sys/kernel/mm/swap sets (mm/swap_state.c)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class SwapReadahead:
    vma_ra_enabled: bool = True
