"""Whose the used pages of a known node are: handed out in the order of who is sure of them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from vmfs.mm.extents import Extents
from vmfs.mm.layout import LayoutError
from vmfs.mm.mmzone import MigrateType, Zone

TURN_ORDER = 5  # of the parts of a page block


class UsedPages:
    """The zones of one node while their used pages are handed out."""

    def __init__(self, zones: Iterable[tuple[Zone, Extents]]) -> None:
        self.used = dict(zones)

    def take(self, zone: Zone, pages: int) -> Extents:
        """From one zone, for those whose pages can move: between free blocks, as far as there are such."""
        self.used[zone], taken = self.used[zone].take(self.used[zone].pages - pages)
        self._check(zone, taken.pages, pages)
        return taken

    def _check(self, zone: Zone, found: int, pages: int) -> None:
        if found < pages:
            raise LayoutError(f"node {zone.nid}, zone {zone.name}: more pages in use than it manages")

    def listed(self, zone: Zone, pages: int) -> tuple[Extents, Extents]:
        """For the per-cpu lists, from what LRU pages leave: of other page blocks, and of movable ones.

        The kernel's own pages are in the other blocks first; what is too much for them is on the lists.
        """
        used = self.used[zone]
        pieces = used.chopped(1 << zone.buddy.pageblock_order)
        is_movable = zone.buddy.types_of(pieces.start) == MigrateType.MOVABLE
        _, typed = pieces.select(~is_movable).take(used.pages - pages)
        movable = pieces.select(is_movable)
        _, movable = movable.take(movable.pages - (pages - typed.pages))
        self.used[zone] = used.minus(Extents.concat([typed, movable]).coalesced())
        self._check(zone, typed.pages + movable.pages, pages)
        return typed, movable

    def whole_blocks(self, zone: Zone, order: int, count: int) -> Extents:
        """Up to so many movable page blocks that are in use as a whole, from the top."""
        _, blocks = self.used[zone].aligned(order)
        blocks = blocks.chopped(1 << order)
        blocks = blocks.select(zone.buddy.types_of(blocks.start) == MigrateType.MOVABLE)
        _, top = blocks.take(max(blocks.pages - (count << order), 0))
        self.used[zone] = self.used[zone].minus(top.coalesced())
        return top

    def of_type(self, pages: int, migratetype: MigrateType) -> list[tuple[Zone, Extents]]:
        """Slabs: in page blocks of their type, as far as there are such."""
        parts: list[tuple[Zone, Extents]] = []
        for zone in reversed(self.used):
            order = zone.buddy.pageblock_order
            pieces = self.used[zone].chopped(1 << order)
            own, _ = pieces.select(zone.buddy.types_of(pieces.start) == migratetype).take(pages)
            self.used[zone] = self.used[zone].minus(own.coalesced())
            pages -= own.pages
            parts.append((zone, _in_turns(own, order)))
        rest = self.spread(pages)
        return [
            (zone, Extents.concat([own, more])) for (zone, own), (_, more) in zip(parts, rest, strict=True)
        ]

    def spread(self, pages: int) -> list[tuple[Zone, Extents]]:
        """From the node's zones, highest first, as the zonelist goes."""
        parts: list[tuple[Zone, Extents]] = []
        for zone in reversed(self.used):
            taken, self.used[zone] = self.used[zone].take(pages)
            pages -= taken.pages
            parts.append((zone, taken))
        if pages:
            raise LayoutError(f"node {parts[0][0].nid}: more pages in use than it manages")
        return parts

    def aligned(self, order: int, count: int) -> Extents:
        """Whole blocks, from the top; where there are too few, any pages must do."""
        found: list[Extents] = []
        for zone in reversed(self.used):
            _, blocks = self.used[zone].aligned(order)
            want = min(count << order, blocks.pages)
            _, top = blocks.take(blocks.pages - want)
            self.used[zone] = self.used[zone].minus(top.coalesced())
            count -= want >> order
            found.append(top)
        if count:
            found += [part for _, part in self.spread(count << order)]
        return Extents.concat(found)


def _in_turns(pages: Extents, pageblock_order: int) -> Extents:
    """A part of each page block, then the next of each: where most of them go, each block keeps some."""
    pieces = pages.chopped(1 << TURN_ORDER)
    part = (pieces.start & ((1 << pageblock_order) - 1)) >> TURN_ORDER
    order = np.lexsort((pieces.start, part))
    return Extents(pieces.start[order], pieces.length[order])
