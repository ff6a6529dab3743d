"""What of each kind came back after it went, which decides what goes next (mm/vmscan.c: struct ctrl_pos).

A feedback loop of lru_gen: the kind whose pages are missed less is taken, weighed by swappiness.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MIN_LRU_BATCH, MAX_LRU_BATCH = 64, 64 * 64
MIN_NR_GENS, MAX_NR_GENS = 2, 4


@dataclass(slots=True)
class Tier:
    """Pages of one kind since the last aging, and the moving averages of before. There is one tier here."""

    refaulted: int = 0
    evicted: int = 0
    avg_refaulted: int = 0
    avg_total: int = 0

    def carry_over(self) -> None:
        """reset_ctrl_pos(): a generation is over."""
        self.avg_refaulted = (self.avg_refaulted + self.refaulted) // 2
        self.avg_total = (self.avg_total + self.evicted) // 2
        self.refaulted = self.evicted = 0


@dataclass(slots=True, eq=False)
class Tiers:
    """Those of a node."""

    anon: Tier = field(default_factory=Tier)
    file: Tier = field(default_factory=Tier)

    def of(self, file: bool) -> Tier:
        return self.file if file else self.anon

    def takes_files(self, swappiness: int, highest: int) -> bool:
        """get_type_to_scan() and positive_ctrl_err(): files, unless they are missed more."""
        refaulted = self.file.avg_refaulted + self.file.refaulted
        total = self.file.avg_total + self.file.evicted
        anon_refaulted = self.anon.avg_refaulted + self.anon.refaulted
        anon_total = self.anon.avg_total + self.anon.evicted
        missed = refaulted * (anon_total + MIN_LRU_BATCH) * swappiness
        return refaulted < MIN_LRU_BATCH or missed <= (anon_refaulted + 1) * total * (highest - swappiness)
