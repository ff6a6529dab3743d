"""Estimates for people (mm/show_mem.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmfs.mm.vmstat import Item
from vmfs.mm.wmark import low_wmark_pages, totalreserve_pages

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine


def si_mem_available(machine: Machine) -> int:
    """Pages that new work can have without swapping: MemAvailable.

    Half of the page cache and of reclaimable slab counts as in use, but no more than the low
    watermarks of all zones.
    """
    wmark_low = sum(low_wmark_pages(zone) for _, zone in machine.zones())
    state = machine.global_page_state
    pagecache = state(Item.NR_ACTIVE_FILE) + state(Item.NR_INACTIVE_FILE)
    reclaimable = state(Item.NR_SLAB_RECLAIMABLE) + state(Item.NR_KERNEL_MISC_RECLAIMABLE)
    available = state(Item.NR_FREE_PAGES) - totalreserve_pages(machine)
    available += pagecache - min(pagecache // 2, wmark_low)
    available += reclaimable - min(reclaimable // 2, wmark_low)
    return max(0, available)
