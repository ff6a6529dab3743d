"""The page tables of a task: how many of each level its mappings need (include/asm-generic/pgalloc.h).

Tables are made when a page is touched and stay until the task exits.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from vmfs.kernel import Feature, Kernel
from vmfs.mm import kernel_pages, mmap
from vmfs.mm.mmzone import PAGE_SHIFT
from vmfs.mm.vmstat import Item
from vmfs.mm.zonelist import zonelist

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine
    from vmfs.mm.tasks import Task

PTE_SHIFT, PMD_SHIFT, PUD_SHIFT, P4D_SHIFT = 21, 30, 39, 48
"""What a table of each level maps, as a power of two of bytes, on x86-64."""

PTE_SHIFT_I386 = 22  # two levels, 1024 entries each
PREALLOCATED_PMDS = 3  # with PAE: one for each GiB of a task; what points to them is a slab object

Addresses = npt.NDArray[np.int64]

Span = tuple[int, int, int]
"""Touched addresses, first and last byte but one, and the power of two of their page size."""


class Tables(NamedTuple):
    """Tables of each level, one page each; `pgd` is the top, which every task has."""

    pte: int = 0
    pmd: int = 0
    pud: int = 0
    p4d: int = 0
    pgd: int = 0

    @property
    def pages(self) -> int:
        return sum(self)

    @property
    def mm_pgtables(self) -> int:
        """mm_pgtables_bytes() in pages: what VmPTE and the OOM killer count."""
        return self.pte + self.pmd + self.pud

    def counted(self, kernel: Kernel) -> int:
        """Those in nr_page_table_pages."""
        top = self.p4d + self.pgd if kernel.has(Feature.PGD_TABLES_COUNTED) else 0
        return self.pte + self.pmd + (self.pud if kernel.has(Feature.PUD_TABLES_COUNTED) else 0) + top

    def plus(self, more: Iterable[int]) -> Tables:
        """With more of the lowest levels."""
        return Tables(*(a + b for a, b in zip_longest(self, more, fillvalue=0)))


NO_TABLES = Tables()


def tables(kernel: Kernel, spans: Iterable[Span], *, la57: bool = False) -> Tables:
    """For touched spans in order of address. A huge page needs no table below the level it is in."""
    found = list(spans)
    if kernel.has(Feature.PAE):
        return Tables(pte=_tables(found, PTE_SHIFT), pmd=PREALLOCATED_PMDS)
    if kernel.has(Feature.HIGHMEM):
        return Tables(pte=_tables(found, PTE_SHIFT_I386), pgd=1)
    return Tables(
        _tables(found, PTE_SHIFT),
        _tables(found, PMD_SHIFT),
        _tables(found, PUD_SHIFT),
        _tables(found, P4D_SHIFT) if la57 else 0,
        1,
    )


def _tables(spans: list[Span], shift: int) -> int:
    count, last = 0, -1
    for start, end, page_shift in spans:
        if page_shift < shift:
            first = max(start >> shift, last + 1)
            last = max((end - 1) >> shift, last)
            count += max(last - first + 1, 0)
    return count


def touched(machine: Machine, task: Task, grows: int = 0) -> list[Span]:
    """What a task has touched since it started, whether or not it is in memory now."""
    spans: list[Span] = []
    for vma in mmap.vmas(machine, task, grows):
        if vma.hstate is not None:
            spans.append((vma.start, vma.end, vma.hstate.order + PAGE_SHIFT))
        elif vma.use is not None and mmap.mapped(task, vma.use, grows):
            size = mmap.room(task, vma) << PAGE_SHIFT
            start = vma.end - size if "gd" in vma.flags else vma.start
            spans.append((start, start + size, PAGE_SHIFT))
    return [span for span in spans if span[0] < span[1]]


def of_task(machine: Machine, task: Task, grows: int = 0) -> Tables:
    """The tables of all that a task has touched, `grows` more anonymous pages among it."""
    return tables(machine.kernel, touched(machine, task, grows), la57=machine.hardware.la57)


def spanned(kernel: Kernel, end: Addresses, pages: Addresses) -> tuple[Addresses, ...]:
    """Boundaries of the tables of each level inside mappings of that many pages that end at `end`.

    A mapping that grows downwards, into addresses where nothing is, needs a table for each more.
    """
    return tuple(((end - 1) >> shift) - ((end - (pages << PAGE_SHIFT)) >> shift) for shift in _shifts(kernel))


def _shifts(kernel: Kernel) -> tuple[int, ...]:
    """Of the levels whose tables are made when they are needed."""
    if kernel.has(Feature.PAE):
        return (PTE_SHIFT,)
    return (PTE_SHIFT_I386,) if kernel.has(Feature.HIGHMEM) else (PTE_SHIFT, PMD_SHIFT, PUD_SHIFT)


def map_page_tables(machine: Machine, task: Task, grows: int = 0) -> None:
    """The tables that all mappings need when touched; the anonymous one with `grows` more pages."""
    tables = of_task(machine, task, grows)
    kernel_pages.alloc_other(machine, task.nid, tables.pages - task.tables.pages, task)
    more = tables.counted(machine.kernel) - task.tables.counted(machine.kernel)
    mod_page_tables(machine, task.nid, more)
    task.tables = tables


def free_pgtables(machine: Machine, task: Task) -> None:
    """All tables of a task that exits."""
    mod_page_tables(machine, task.nid, -task.tables.counted(machine.kernel))
    kernel_pages.free_other(machine, task.nid, task.tables.pages)


def mod_page_tables(machine: Machine, nid: int, pages: int) -> None:
    """Page tables are counted per zone or per node, by release: the nearest that kernel pages are of."""
    zone = zonelist(machine, nid, machine.zone_index("Normal"))[0]
    if machine.kernel.has(Feature.PAGETABLES_PER_ZONE):
        zone.mod_state(Item.NR_ZONE_PAGE_TABLE_PAGES, pages)
    else:
        machine.node(zone.nid).mod_state(Item.NR_PAGE_TABLE_PAGES, pages)
