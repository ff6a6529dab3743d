"""What the administrator may drop: page cache and slab objects (fs/drop_caches.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmfs.kernel import Feature
from vmfs.mm import filemap, lru, pcp_free, shrinker, truncate, workingset
from vmfs.mm.lru import Batch, Lru, Use
from vmfs.mm.mmzone import Node, Zone
from vmfs.mm.vmstat import Item

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine


def drop_caches(machine: Machine, bits: int) -> None:
    """1 page cache, 2 slab objects, 3 both; 4 only silences the log."""
    unused = {zone: zone.free_pages + zone.pageset.total for _, zone in machine.zones()}
    if bits & 1:
        _drop_pagecache(machine)
    if bits & 2:
        slab = {zone: _slab_pages(zone) for zone in unused}
        shrinker.drop_slab(machine)
        for zone, before in unused.items():
            if _slab_pages(zone) < slab[zone]:
                pcp_free.free_high(machine, zone, zone.free_pages + zone.pageset.total - before)


def _slab_pages(zone: Zone) -> int:
    return sum(extents.pages for extents in zone.slab.values())


def _drop_pagecache(machine: Machine) -> None:
    """drop_caches bit 1: clean, unmapped file pages go; dirty and mapped ones stay."""
    _deactivate_shared_memory(machine)
    truncate.drop_file_pages(machine, filemap.file_lru_pages(machine))
    workingset.forget_files(machine, 1, 1)
    machine.count_event(Item.DROP_PAGECACHE, 1)


def _deactivate_shared_memory(machine: Machine) -> None:
    """deactivate_file_folio(): what cannot be dropped, as tmpfs, leaves the active list where nobody maps it.

    With lru_gen it stays where it is; a later release counts it all the same.
    """
    for node in machine.nodes:
        mapped = truncate.mapped_by_nobody(node)
        for zone in reversed(node.zones):
            shared = sum(b.pages for b in lru.queue_of(zone, Lru.ACTIVE_ANON) if _is_of_tmpfs(b))
            keep = min(mapped, shared)
            mapped -= keep
            _deactivate(machine, node, zone, shared - keep)


def _is_of_tmpfs(batch: Batch) -> bool:
    return batch.use is Use.SHMEM and batch.task is None


def _deactivate(machine: Machine, node: Node, zone: Zone, pages: int) -> None:
    if machine.lru_gen.enabled:
        counted = machine.kernel.has(Feature.LRU_GEN_COUNTS_DEACTIVATED)
        machine.count_event(Item.PGDEACTIVATE, pages if counted else 0)
        return
    for batch in lru.take(node, zone, Lru.ACTIVE_ANON, pages, mapped=False, only=Use.SHMEM):
        lru.add(node, zone, Lru.INACTIVE_ANON, batch)
        machine.count_event(Item.PGDEACTIVATE, batch.pages)
