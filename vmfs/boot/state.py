"""What the steps of a boot hand on to one another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vmfs.boot.firmware import MemoryMap
from vmfs.boot.memblock import Memblock
from vmfs.boot.ranges import clip, pages
from vmfs.boot.release import Build
from vmfs.boot.zones import ZoneSpan, max_low_pfn
from vmfs.kernel import Feature
from vmfs.mm.snapshot import NodeState, Snapshot, ZoneState
from vmfs.spec import Spec


@dataclass(slots=True)
class BootState:
    spec: Spec
    build: Build
    firmware: MemoryMap
    spans: list[list[ZoneSpan]]
    block: Memblock
    snapshot: Snapshot

    @property
    def end(self) -> int:
        """End of the memory that the kernel maps for good."""
        return max_low_pfn() if self.spec.kernel.has(Feature.HIGHMEM) else self.firmware.top

    @property
    def with_memory(self) -> list[int]:
        return [nid for nid, memory in enumerate(self.firmware.node_memory) if memory]

    @property
    def for_kernel(self) -> list[int]:
        """Nodes with memory that need not be movable."""
        return [s[0].nid for s in self.spans if any(z.memory and z.name != "Movable" for z in s)]

    @property
    def low_pages(self) -> int:
        """nr_kernel_pages: frames that the kernel maps, less the memmap."""
        return pages(clip(self.firmware.memory, 0, self.end)) - self.block.memmap_pages

    def zones(self) -> Iterator[tuple[ZoneSpan, NodeState, ZoneState]]:
        for spans, node in zip(self.spans, self.snapshot.nodes, strict=True):
            for span, zone in zip(spans, node.zones, strict=True):
                yield span, node, zone

    def late(self, span: ZoneSpan) -> int:
        """Pages of the zone that are freed after its limits are set up."""
        freed = clip(self.block.late, span.start, span.end)
        return sum(pages(clip(self.block.free[span.nid], a, b)) for a, b in freed)

    def managed(self, *, early: bool = False, lowmem: bool = False) -> int:
        """Pages of all zones; without the late ones, or those of HighMem."""
        return sum(
            zone.managed - (self.late(span) if early else 0)
            for span, _, zone in self.zones()
            if not (lowmem and span.name == "HighMem")
        )
