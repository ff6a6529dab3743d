"""Dirty page cache reaches the disk (fs/fs-writeback.c, mm/page-writeback.c: balance_dirty_pages()).

The disk is as fast as it has to be: what the flusher takes up is written at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmfs.mm import lru, page_writeback, psi
from vmfs.mm.lru import Batch, Lru
from vmfs.mm.mmzone import Node, Zone
from vmfs.mm.vmstat import Item

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

DirtyBatches = list[tuple[Node, Zone, Batch]]


def dirty_pages(machine: Machine) -> int:
    return machine.global_page_state(Item.NR_DIRTY)


def balance_dirty_pages(machine: Machine) -> None:
    """Writers are held until no more than the background threshold is dirty."""
    background, _ = page_writeback.global_dirty_limits(machine)
    done = _write(machine, _dirty(machine), dirty_pages(machine) - background)
    psi.stall(machine, done * psi.DISK_NANOSECS, psi.IO)


def dirtied(machine: Machine) -> None:
    """Pages were dirtied: the flusher's timer starts where it is not running (wb_wakeup_delayed())."""
    if machine.flushed_centisecs is None:
        machine.flushed_centisecs = machine.clock.uptime_centisecs


def due(machine: Machine) -> int | None:
    """The second in which the periodic flusher wakes: dirty_writeback_centisecs after the last time."""
    interval = machine.sysctl.dirty_writeback_centisecs
    if machine.flushed_centisecs is None or not interval:
        return None
    return -(-(machine.flushed_centisecs + interval) // 100)


def wb_workfn(machine: Machine) -> None:
    """The periodic flusher: what has been dirty for dirty_expire_centisecs is written.

    So is what exceeds the background threshold. The timer stops when nothing is dirty.
    """
    now = machine.clock.uptime_centisecs
    background, _ = page_writeback.global_dirty_limits(machine)
    expired = now - machine.sysctl.dirty_expire_centisecs
    dirty = _dirty(machine)
    done = _write(machine, dirty, dirty_pages(machine), expired)
    done += _write(machine, dirty, dirty_pages(machine) - background)
    left = any(batch.dirty for _, _, batch in dirty)
    machine.flushed_centisecs = now if left else None
    if done:
        machine.touch()


def _dirty(machine: Machine) -> DirtyBatches:
    """What is dirty on the lists of files, the oldest of each list first."""
    return [
        (node, zone, batch)
        for node, zone in machine.zones()
        for which in (Lru.INACTIVE_FILE, Lru.ACTIVE_FILE)
        for batch in lru.queue_of(zone, which)
        if batch.dirty
    ]


def _write(machine: Machine, dirty: DirtyBatches, pages: int, dirtied_before: int | None = None) -> int:
    """Write up to `pages` of these pages, the oldest first; returns how many."""
    done = 0
    for node, zone, batch in dirty:
        if done >= pages:
            break
        if batch.dirty and (dirtied_before is None or batch.dirtied_centisecs <= dirtied_before):
            done += page_writeback.write_back(machine, node, zone, batch, pages - done)
    return done
