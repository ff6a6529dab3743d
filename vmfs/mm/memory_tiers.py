"""Demotion to slower nodes: what /sys/kernel/mm/numa sets (mm/memory-tiers.c)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class MemoryTiers:
    demotion_enabled: bool = False
