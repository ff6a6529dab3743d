"""Who reclaims, and what it may touch (mm/vmscan.c: struct scan_control)."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vmfs.mm.mmzone import Node, Zone
from vmfs.mm.vmstat import Item

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

SWAP_CLUSTER_MAX = 32
MAX_RECLAIM_RETRIES = 16
DEF_PRIORITY = 12
MAX_SWAPPINESS = 200


@dataclass(frozen=True, slots=True)
class ScanControl:
    """struct scan_control: who reclaims, up to which zone, and what it may touch.

    With `trim_cache` it ends where anonymous pages would be scanned as well.
    """

    highest_zoneidx: int
    kswapd: bool = False
    proactive: bool = False
    may_unmap: bool = True
    may_swap: bool = True
    may_writepage: bool = True
    slab: bool = True
    trim_cache: bool = False

    @property
    def reclaimer(self) -> tuple[Item, Item]:
        """reclaimer_offset(): where pages that are scanned and freed are counted."""
        if self.proactive:
            return Item.PGSCAN_PROACTIVE, Item.PGSTEAL_PROACTIVE
        if self.kswapd:
            return Item.PGSCAN_KSWAPD, Item.PGSTEAL_KSWAPD
        return Item.PGSCAN_DIRECT, Item.PGSTEAL_DIRECT


@dataclass(slots=True, eq=False)
class Reclaim:
    """One shrink_node(): of which node and zones, and how far it has come, in pages.

    `rounds` is how often the lists that it scans were looked at as a whole. It ends when `nr_to_scan`
    pages were looked at (lru_gen). `ahead` is what the waker takes at the same time.
    """

    machine: Machine
    node: Node
    control: ScanControl
    zones: list[Zone] = field(init=False)
    scanned: int = 0
    freed: int = 0
    written: int = 0
    deactivated: int = 0
    rounds: float = 0.0
    nr_to_scan: int = sys.maxsize
    ahead: int = 0

    @property
    def progress(self) -> int:
        """What changes when there is anything to do."""
        return self.freed + self.written + self.deactivated

    def __post_init__(self) -> None:
        highest = self.control.highest_zoneidx
        self.zones = [zone for zone in self.node.zones if zone.managed_pages and zone.index <= highest]
