"""Per-cpu page lists of one zone (struct per_cpu_pages). Their pages are in no free count."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from vmfs.mm.extents import Extents


@dataclass(slots=True, eq=False)
class PerCpuPages:
    """Pages by CPU; a CPU without pages has no entry, so 1024 idle CPUs cost nothing.

    Two stocks: small pages, whose order and type are not kept, and huge pages. `high` holds the
    auto-tuned limit of the releases that have one; the rest derive it. `expire` counts the seconds
    down in which a CPU left its list alone.
    """

    small: dict[int, Extents] = field(default_factory=dict)
    huge: dict[int, Extents] = field(default_factory=dict)
    high: dict[int, int] = field(default_factory=dict)
    expire: dict[int, int] = field(default_factory=dict)

    def _stock(self, order: int) -> dict[int, Extents]:
        return self.huge if order else self.small

    def count(self, cpu: int) -> int:
        """`struct per_cpu_pages`.count"""
        return sum(stock[cpu].pages for stock in (self.small, self.huge) if cpu in stock)

    def extents(self) -> Iterator[Extents]:
        """Everything on all lists."""
        yield from self.small.values()
        yield from self.huge.values()

    @property
    def total(self) -> int:
        return sum(held.pages for held in self.extents())

    def held(self, cpu: int, order: int) -> int:
        """Pages of one stock."""
        stock = self._stock(order)
        return stock[cpu].pages if cpu in stock else 0

    def put(self, cpu: int, extents: Extents, order: int = 0) -> None:
        self.expire.pop(cpu, None)
        stock = self._stock(order)
        stock[cpu] = Extents.concat([extents, stock.get(cpu, Extents.empty())])

    def take(self, cpu: int, pages: int, order: int = 0) -> Extents:
        """Up to `pages` pages from the head of a stock."""
        self.expire.pop(cpu, None)
        stock = self._stock(order)
        head, rest = stock.get(cpu, Extents.empty()).take(pages)
        if len(rest.start):
            stock[cpu] = rest
        else:
            stock.pop(cpu, None)
        return head

    def drain(self) -> Extents:
        """drain_all_pages(): everything, to be freed to the buddy lists."""
        every = Extents.concat(self.extents())
        self.small.clear()
        self.huge.clear()
        return every
