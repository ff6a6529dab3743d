"""Per-cpu page lists of one zone (struct per_cpu_pages). Their pages are in no free count."""

from __future__ import annotations

from dataclasses import dataclass, field

from vmfs.mm.extents import Extents


@dataclass(slots=True, eq=False)
class PerCpuPages:
    """Pages by CPU; a CPU without pages has no entry, so 1024 idle CPUs cost nothing.

    Which order and type a page was freed at is not kept: a list is one stock of pages.
    `high` holds the auto-tuned limit of the releases that have one; the rest derive it.
    """

    pages: dict[int, Extents] = field(default_factory=dict)
    high: dict[int, int] = field(default_factory=dict)

    def count(self, cpu: int) -> int:
        """Struct per_cpu_pages.count"""
        held = self.pages.get(cpu)
        return held.pages if held is not None else 0

    @property
    def total(self) -> int:
        return sum(held.pages for held in self.pages.values())

    def put(self, cpu: int, extents: Extents) -> None:
        held = self.pages.get(cpu, Extents.empty())
        self.pages[cpu] = Extents.concat([extents, held])

    def take(self, cpu: int, pages: int) -> Extents:
        """Up to `pages` pages from the head of the list."""
        head, rest = self.pages.get(cpu, Extents.empty()).take(pages)
        if len(rest.start):
            self.pages[cpu] = rest
        else:
            self.pages.pop(cpu, None)
        return head

    def drain(self) -> Extents:
        """drain_all_pages(): everything, to be freed to the buddy lists."""
        every = Extents.concat(self.pages.values())
        self.pages.clear()
        return every
