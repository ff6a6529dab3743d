"""Dirty page cache reaches the disk (fs/fs-writeback.c, mm/page-writeback.c: balance_dirty_pages()).

The disk is as fast as it has to be: what the flusher takes up is written at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmfs.mm import filemap, page_writeback
from vmfs.mm.lru import Lru
from vmfs.mm.vmstat import Item

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine


def dirty_pages(machine: Machine) -> int:
    return machine.global_page_state(Item.NR_DIRTY)


def balance_dirty_pages(machine: Machine) -> None:
    """Writers are held until no more than the background threshold is dirty."""
    background, _ = page_writeback.global_dirty_limits(machine)
    _write(machine, dirty_pages(machine) - background)


def wb_workfn(machine: Machine) -> bool:
    """The periodic flusher: pages dirty for longer than dirty_expire_centisecs are written.

    All dirty pages share one age, that of the last write. True when something was written.
    """
    sysctl = machine.sysctl
    if not machine.dirtied_centisecs or not sysctl.dirty_writeback_centisecs:
        return False
    age = machine.clock.uptime_centisecs - machine.dirtied_centisecs
    if age < sysctl.dirty_expire_centisecs:
        return False
    machine.dirtied_centisecs = 0
    return _write(machine, dirty_pages(machine)) > 0


def _write(machine: Machine, pages: int) -> int:
    """Write up to `pages` dirty pages, the oldest first; returns how many."""
    done = 0
    for node, zone in machine.zones():
        for which in (Lru.INACTIVE_FILE, Lru.ACTIVE_FILE):
            for batch in zone.lru.lists[which]:
                if batch.dirty and done < pages:
                    done += filemap.write_back(machine, node, zone, batch, pages - done)
    return done
