"""Fragmenting a zone on purpose: what months of mixed allocations leave behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vmfs.mm import lru, page_free
from vmfs.mm.charge import charge
from vmfs.mm.extents import Extents, Pfns
from vmfs.mm.lru import Batch, Lru, Use
from vmfs.mm.mmzone import MigrateType, Node, Zone
from vmfs.mm.vmstat import Item

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

MOVABLE_SHARE = 4  # one in so many of the blocks is held by a page that compaction can move


def fragment(machine: Machine, keep: float, nid: int | None, zone_name: str | None) -> int:
    """Break free page blocks until the share `keep` (0 to 1) of a zone's blocks has no free one.

    Each broken block loses one page in its middle and becomes of the unmovable type. Three in four
    of these pages are unmovable; the fourth is a page of tmpfs that came in beside unmovable ones,
    which a full compaction moves away, a direct one does not look at and reclaim cannot drop. Blocks
    in use count as broken already. Returns how many were broken.
    """
    nodes = machine.nodes if nid is None else [machine.node(nid)]
    zones = [(n, z) for n in nodes for z in n.zones if z.populated and zone_name in (None, z.name)]
    for _, zone in zones:
        page_free.drain_zone_pages(zone)
    return sum(_fragment_zone(machine, node, zone, keep) for node, zone in zones)


def _fragment_zone(machine: Machine, node: Node, zone: Zone, keep: float) -> int:
    size = 1 << machine.kernel.pageblock_order
    whole = zone.free_area.whole_pageblocks()
    total = -(-zone.present_pages // size)
    want = min(max(len(whole) - round(total * (1 - keep)), 0), len(whole))
    if not want:
        return 0
    rng = np.random.default_rng((machine.seed, node.nid, zone.index, machine.event(Item.PGFREE)))
    chosen = np.sort(rng.choice(whole, want, replace=False)) if want < len(whole) else whole
    _break(machine, node, zone, chosen, size)
    return want


def _break(machine: Machine, node: Node, zone: Zone, blocks: Pfns, size: int) -> None:
    """Take the blocks, give all of each but one page back as unmovable."""
    area = zone.free_area
    area.isolate(Extents(blocks, np.full(len(blocks), size, np.int64)))
    area.set_types(blocks, MigrateType.UNMOVABLE)
    pages = blocks + size // 2
    area.free(Extents.concat([_runs(blocks, size // 2), _runs(pages + 1, size // 2 - 1)]))
    movable = np.zeros(len(blocks), bool)
    movable[MOVABLE_SHARE - 1 :: MOVABLE_SHARE] = True
    zone.other = Extents.concat([zone.other, _runs(pages[~movable], 1)])
    if movable.any():
        batch = Batch(Use.SHMEM, _runs(pages[movable], 1))
        charge(machine, node, batch, batch.pages)
        lru.add(node, zone, Lru.ACTIVE_ANON, batch)
    machine.count_event(Item[f"PGALLOC_{zone.event_name}"], len(blocks))


def _runs(starts: Pfns, pages: int) -> Extents:
    return Extents(starts, np.full(len(starts), pages, np.int64))
