"""Per-cpu page lists of one zone (struct per_cpu_pages). Their pages are in no free count."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from vmfs.kernel import Feature, Kernel
from vmfs.mm.extents import Extents
from vmfs.mm.mmzone import MIGRATE_PCPTYPES, MigrateType

HUGE = MIGRATE_PCPTYPES


def order_to_pindex(migratetype: int, order: int) -> int:
    """Which of a CPU's lists: one for each type of small pages, and one for huge pages, NR_PCP_THP.

    Types without a list of their own use that of movable pages.
    """
    if order:
        return HUGE
    return migratetype if migratetype < MIGRATE_PCPTYPES else MigrateType.MOVABLE


def pcp_allowed_order(kernel: Kernel, order: int) -> bool:
    """Which orders go by way of the per-cpu lists. The kernel's orders 1 to 3, here, do not."""
    huge = order == kernel.hpage_pmd_order and kernel.has(Feature.PCP_HUGE_PAGES)
    return order == 0 or huge


@dataclass(slots=True, eq=False)
class PerCpuPages:
    """Pages by CPU and list; a CPU without pages has no entry, so 1024 idle CPUs cost nothing.

    `high` holds the auto-tuned limit of the releases that have one; the rest derive it. `expire`
    counts the seconds down in which a CPU left its lists alone.
    """

    lists: dict[int, dict[int, Extents]] = field(default_factory=dict)
    high: dict[int, int] = field(default_factory=dict)
    expire: dict[int, int] = field(default_factory=dict)

    def count(self, cpu: int) -> int:
        """`struct per_cpu_pages`.count"""
        return sum(held.pages for held in self.lists.get(cpu, {}).values())

    def extents(self) -> Iterator[Extents]:
        """Everything on all lists."""
        for lists in self.lists.values():
            yield from lists.values()

    @property
    def total(self) -> int:
        return sum(held.pages for held in self.extents())

    def held(self, cpu: int, pindex: int) -> int:
        """Pages of one list."""
        return self._list(cpu, pindex).pages

    def put(self, cpu: int, extents: Extents, pindex: int) -> None:
        """At the head of a list."""
        if extents.pages:
            self._set(cpu, pindex, Extents.concat([extents, self._list(cpu, pindex)]))

    def take(self, cpu: int, pages: int, pindex: int) -> Extents:
        """Up to `pages` pages from the head of a list."""
        head, rest = self._list(cpu, pindex).take(pages)
        self._set(cpu, pindex, rest)
        return head

    def take_oldest(self, cpu: int, pages: int, first: Collection[int] = (), huge_order: int = 0) -> Extents:
        """At least `pages` pages, from the tails of the lists `first` before any other.

        free_pcppages_bulk(). Huge pages come whole.
        """
        found: list[Extents] = []
        for pindex in sorted(self.lists.get(cpu, ()), key=lambda each: (each not in first, each)):
            if pages <= 0:
                break
            order = huge_order if pindex == HUGE else 0
            rest, tail = self._list(cpu, pindex).take(self.held(cpu, pindex) - (-(-pages >> order) << order))
            self._set(cpu, pindex, rest)
            found.append(tail)
            pages -= tail.pages
        return Extents.concat(found)

    def drain(self) -> Extents:
        """drain_all_pages(): everything, to be freed to the buddy lists."""
        every = Extents.concat(self.extents())
        self.lists.clear()
        return every

    def _list(self, cpu: int, pindex: int) -> Extents:
        return self.lists.get(cpu, {}).get(pindex, Extents.empty())

    def _set(self, cpu: int, pindex: int, extents: Extents) -> None:
        self.expire.pop(cpu, None)
        lists = self.lists.setdefault(cpu, {})
        lists[pindex] = extents
        if not extents.pages:
            del lists[pindex]
        if not lists:
            del self.lists[cpu]
