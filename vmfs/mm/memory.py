"""Pages that come back from swap (mm/memory.c: do_swap_page())."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmfs.mm import filemap, lru, lru_gen, psi, workingset
from vmfs.mm.lru import Batch, Lru
from vmfs.mm.mmzone import Zone
from vmfs.mm.vmstat import Item

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine


def map_swapped(machine: Machine, zone: Zone, batch: Batch, *, in_fault: bool) -> None:
    """Pages that were swapped out are their owner's again; which of them, is not kept."""
    node = machine.node(zone.nid)
    filemap.charge(machine, node, batch, batch.pages)
    if batch.task is None:
        shadows = workingset.unknown_shadows(machine, batch.pages)
    else:
        shadows = batch.task.shadows.take_evenly(batch.pages)
    oldest, left = lru_gen.swapin_list(machine, node), batch.pages
    for fate in workingset.refault(machine, node, shadows, file=False, in_fault=in_fault):
        some = lru.split(batch, fate.pages)
        some.workingset = fate.workingset
        left -= some.pages
        lru.add(node, zone, Lru.ACTIVE_ANON if fate.active else oldest, some)
    if left:  # these were still in the swap cache when the area went
        lru.add(node, zone, oldest, batch)


def count_reads(machine: Machine, pages: int) -> None:
    """swap_readpage(), for which the reader waits."""
    machine.count_event(Item.PSWPIN, pages)
    machine.count_event(Item.PGPGIN, pages * filemap.SECTORS_PER_PAGE)
    psi.stall(machine, pages * psi.DISK_NANOSECS, psi.MEMORY, psi.IO)
