"""How old pages are that the multi-generational LRU keeps (include/linux/mmzone.h: struct lru_gen_folio)."""

from __future__ import annotations

from dataclasses import dataclass, field

from vmfs.mm.ctrl_pos import MAX_NR_GENS, MIN_NR_GENS, Tiers

OLDEST = MAX_NR_GENS - 1


@dataclass(slots=True, eq=False)
class Generations:
    """Those of a node: the youngest has age 0, the oldest age 3.

    Anonymous pages of ages 0 and 1 are active, of the latter there are `older_anon`. Pages of files start at
    2. When a generation began last, so many anonymous pages and files grew 3: `oldest`. Of the inactive ones
    the last `promoted` are on the list of a generation they are no longer in.
    """

    max_seq: int = 0  # how many generations have begun
    older_anon: int = 0
    promoted: int = 0
    oldest: tuple[int, int] = (0, 0)
    tiers: Tiers = field(default_factory=Tiers)

    def begin(self, young: int, inactive: int, files: int) -> None:
        """inc_max_seq(): so many were in the youngest, so many anonymous ones inactive, so many of files."""
        self.max_seq += 1
        self.older_anon, self.oldest = young, (inactive, files)
        self.tiers.anon.carry_over()
        self.tiers.file.carry_over()

    def oldest_age(self, inactive: int, files: int) -> int:
        """With so many inactive anonymous pages and files. What goes, goes in order."""
        ages = [int(self.older_anon > 0)]
        for pages, oldest, tier in zip(
            (inactive, files), self.oldest, (self.tiers.anon, self.tiers.file), strict=True
        ):
            if pages:
                ages.append(OLDEST if oldest > tier.evicted else MIN_NR_GENS)
        return max(ages)
