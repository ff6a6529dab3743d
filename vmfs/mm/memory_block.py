"""Memory blocks, the unit of memory hotplug (drivers/base/memory.c).

A zone's holes lie above its memory here, as a PC's hole below 4 GiB does; a hole inside a zone
would show as blocks that the machine lacks, and the last blocks would be missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from vmfs.kernel import Feature, Kernel
from vmfs.mm.mmzone import PAGE_SHIFT, Node, Zone

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

ONLINE_TYPES = ("offline", "online", "online_kernel", "online_movable")


class MemoryBlock(NamedTuple):
    """A block that holds memory, by its number: first frame divided by the block's size."""

    machine: Machine
    number: int

    @property
    def zones(self) -> list[Zone]:
        """Those with memory in it."""
        pages = block_pages(self.machine)
        return [z for _, z in self.machine.zones() if self.number in _range_of(z, pages)]

    @property
    def nids(self) -> list[int]:
        return sorted({zone.nid for zone in self.zones})


def block_pages(machine: Machine) -> int:
    return machine.hardware.memory_block_bytes >> PAGE_SHIFT


def blocks_of(machine: Machine, node: Node) -> Iterator[int]:
    """The numbers of the blocks with memory of that node, ascending."""
    return _merged(list(node.zones), block_pages(machine))


def memory_blocks(machine: Machine) -> Iterator[int]:
    """The numbers of all blocks, ascending; the cost follows the number of blocks asked for."""
    return _merged([zone for _, zone in machine.zones()], block_pages(machine))


def _range_of(zone: Zone, pages: int) -> range:
    end = zone.zone_start_pfn + zone.present_pages
    return range(zone.zone_start_pfn // pages, -(-end // pages)) if zone.populated else range(0)


def _merged(zones: list[Zone], pages: int) -> Iterator[int]:
    after = 0
    for blocks in sorted((_range_of(z, pages) for z in zones), key=lambda r: r.start):
        yield from range(max(after, blocks.start), blocks.stop)
        after = max(after, blocks.stop)


@dataclass(slots=True)
class MemoryHotplug:
    """What becomes of memory that is added later: one of ONLINE_TYPES."""

    auto_online_blocks: str = "offline"

    @classmethod
    def of(cls, kernel: Kernel) -> MemoryHotplug:
        """CONFIG_MEMORY_HOTPLUG_DEFAULT_ONLINE, as the distributions set it."""
        return cls("online" if kernel.has(Feature.MEMORY_AUTO_ONLINE) else "offline")
