"""What is remembered of pages that reclaim took (mm/workingset.c: pack_shadow()).

A shadow tells when a page went, from which node, and whether it had been in use. Those of one owner are
kept by the time they went, not by page.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

MOST_RUNS = 64
"""Of one owner: beyond it, runs that follow each other become one."""


@dataclass(slots=True)
class Shadow:
    """`pages` that went one after the other, while the age of their node went from `first` to `last`.

    With lru_gen the age is a generation, and they went in one or some.
    """

    nid: int
    first: int
    last: int
    workingset: bool
    pages: int

    def since(self, age: int) -> int:
        """Pages that went at that age or later."""
        if age <= self.first:
            return self.pages
        return self.pages * max(self.last - age, 0) // max(self.last - self.first, 1)


@dataclass(slots=True, eq=False)
class Shadows:
    """Those of one owner, the oldest first."""

    runs: list[Shadow] = field(default_factory=list)

    @property
    def pages(self) -> int:
        return sum(run.pages for run in self.runs)

    def add(self, shadow: Shadow) -> None:
        self.runs.append(shadow)
        if len(self.runs) > MOST_RUNS:
            self.runs = _joined(self.runs)

    def take_oldest(self, pages: int) -> list[Shadow]:
        """Of pages that come back in the order they went."""
        taken: list[Shadow] = []
        while pages > 0 and self.runs:
            run = self.runs[0]
            share = min(pages, run.pages)
            age = run.first + (run.last - run.first) * share // run.pages
            taken.append(replace(run, last=age, pages=share))
            run.first, run.pages = age, run.pages - share
            pages -= share
            if not run.pages:
                del self.runs[0]
        return taken

    def take_evenly(self, pages: int) -> list[Shadow]:
        """Of pages that come back at random."""
        left, taken = self.pages, []
        pages = min(pages, left)
        for run in self.runs:
            share = -(-pages * run.pages // left)
            left -= run.pages
            pages -= share
            run.pages -= share
            taken.append(replace(run, pages=share))
        self.runs = [run for run in self.runs if run.pages]
        return [run for run in taken if run.pages]

    def forget(self, part: int, whole: int) -> None:
        """So large a part of them is gone."""
        self.take_evenly(self.pages * part // max(whole, 1))


def _joined(runs: list[Shadow]) -> list[Shadow]:
    """In pairs, each with the next of its node and kind, at the place of the older one."""
    joined: list[Shadow] = []
    alone: dict[tuple[int, bool], int] = {}  # where the last of a kind is that has no other yet
    for run in runs:
        kind = run.nid, run.workingset
        at = alone.pop(kind, None)
        if at is None:
            alone[kind] = len(joined)
            joined.append(run)
        else:
            joined[at] = replace(joined[at], last=run.last, pages=joined[at].pages + run.pages)
    return joined
