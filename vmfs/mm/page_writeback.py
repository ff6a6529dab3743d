"""Dirty limits, and what counts pages as dirty or written (mm/page-writeback.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmfs.mm.lru import Batch
from vmfs.mm.mmzone import KBYTES_PER_PAGE, PAGE_SIZE, Node, Zone
from vmfs.mm.vmstat import Item
from vmfs.mm.wmark import high_wmark_pages, movable_is_highmem, totalreserve_pages

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

UINT_MAX = (1 << 32) - 1  # the throttling counts pages in 32 bits


def global_dirty_limits(machine: Machine) -> tuple[int, int]:
    """Pages: nr_dirty_background_threshold, where writeback starts, and nr_dirty_threshold."""
    sysctl = machine.sysctl
    available = global_dirtyable_memory(machine)
    thresh = min(UINT_MAX, _limit(sysctl.dirty_bytes, sysctl.dirty_ratio, available))
    background = _limit(sysctl.dirty_background_bytes, sysctl.dirty_background_ratio, available)
    return (background if background < thresh else thresh // 2), thresh


def _limit(limit_bytes: int, ratio: int, available: int) -> int:
    if limit_bytes:
        return -(-limit_bytes // PAGE_SIZE)
    return ratio * PAGE_SIZE // 100 * available // PAGE_SIZE


def global_dirtyable_memory(machine: Machine) -> int:
    """Pages that could hold dirty page cache, and one so that nobody divides by zero."""
    pages = _beyond(machine.global_page_state(Item.NR_FREE_PAGES), totalreserve_pages(machine))
    pages += machine.global_page_state(Item.NR_INACTIVE_FILE)
    pages += machine.global_page_state(Item.NR_ACTIVE_FILE)
    if not machine.sysctl.highmem_is_dirtyable:
        pages -= min(pages, highmem_dirtyable_memory(machine))
    return pages + 1


def highmem_dirtyable_memory(machine: Machine) -> int:
    """The part in zones above the direct map, which block layers cannot write from in place."""
    movable = movable_is_highmem(machine)
    zones = (z for _, z in machine.zones() if z.is_highmem or (movable and z.name == "Movable"))
    return sum(_zone_dirtyable_memory(zone) for zone in zones if zone.populated)


def _zone_dirtyable_memory(zone: Zone) -> int:
    file = zone.page_state(Item.NR_ZONE_INACTIVE_FILE) + zone.page_state(Item.NR_ZONE_ACTIVE_FILE)
    return _beyond(zone.free_pages, high_wmark_pages(zone)) + file


def node_dirtyable_memory(node: Node) -> int:
    """Pages of the node that could hold dirty page cache."""
    file = node.page_state(Item.NR_INACTIVE_FILE) + node.page_state(Item.NR_ACTIVE_FILE)
    return _beyond(node.free_pages, node.totalreserve_pages) + file


def _beyond(pages: int, reserve: int) -> int:
    return max(0, pages - reserve)


def mark_dirty(machine: Machine, node: Node, zone: Zone, batch: Batch) -> None:
    """folio_account_dirtied()"""
    batch.dirty = batch.pages
    batch.dirtied_centisecs = machine.clock.uptime_centisecs
    node.mod_state(Item.NR_DIRTY, batch.dirty)
    node.mod_state(Item.NR_DIRTIED, batch.dirty)
    zone.mod_state(Item.NR_ZONE_WRITE_PENDING, batch.dirty)


def write_back(machine: Machine, node: Node, zone: Zone, batch: Batch, pages: int | None = None) -> int:
    """Dirty pages of a batch reach the disk."""
    done = batch.dirty if pages is None else min(pages, batch.dirty)
    batch.dirty -= done
    node.mod_state(Item.NR_DIRTY, -done)
    node.mod_state(Item.NR_WRITTEN, done)
    zone.mod_state(Item.NR_ZONE_WRITE_PENDING, -done)
    machine.count_event(Item.PGPGOUT, done * KBYTES_PER_PAGE)
    return done
