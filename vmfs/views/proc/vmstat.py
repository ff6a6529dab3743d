"""/proc/vmstat, as mm/vmstat.c: vmstat_show() writes it, and lines of counters for other files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmfs.mm.vmstat import Item, Scope, items
from vmfs.views.entry import File, top

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

PRINTED_IN_HUGE_PAGES = frozenset(
    {
        Item.NR_SHMEM_HUGEPAGES,
        Item.NR_SHMEM_PMDMAPPED,
        Item.NR_FILE_HUGEPAGES,
        Item.NR_FILE_PMDMAPPED,
        Item.NR_ANON_TRANSPARENT_HUGEPAGES,
    }
)
"""vmstat_item_print_in_thp(): counted in base pages."""


def printed(machine: Machine, item: Item, count: int) -> int:
    """The number as printed for a count: huge pages for the counters of transparent huge pages."""
    if item in PRINTED_IN_HUGE_PAGES:
        return count >> machine.kernel.hpage_pmd_order
    return count


def vmstat(machine: Machine) -> str:
    shown = items(machine.kernel, *Scope)
    return "".join(f"{i.text} {printed(machine, i, machine.global_page_state(i))}\n" for i in shown)


DIRS = (top("/proc", File("vmstat", vmstat)),)
