"""The slab caches of a booted kernel (vmfs/data/slab-*.tsv), with as many objects as its hardware takes.

A row is a fact of a build: a cache, its object, and how its objects grow with CPUs and memory
blocks, a straight line through the machines seen, of up to eight CPUs. What a slab holds is computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources

from vmfs.boot.release import slab_table
from vmfs.kernel import Kernel
from vmfs.mm.slub import calculate_order, objects_per_slab
from vmfs.mm.snapshot import SlabState


@dataclass(frozen=True, slots=True)
class CacheRow:
    """`size` 0: the object grows with the nodes and is padded to `align`. Objects, unless in bytes."""

    name: str
    object_size: int
    bytes_per_node: int
    align: int
    size: int
    reclaimable: bool
    active: float
    active_per_cpu: float
    total: float
    total_per_cpu: float
    per_memory_block: float
    per_node: float

    def size_at(self, nodes: int) -> int:
        bytes_ = self.object_size + self.bytes_per_node * nodes
        return self.size or -(-bytes_ // self.align) * self.align


BUSY_CPUS = 10
"""Boot keeps so many CPUs busy. Those beyond, on recorded machines of 12 to 32 CPUs, have opened no files,
and of what cannot be reclaimed about half as many objects, those of their kernel threads."""


@dataclass(frozen=True, slots=True)
class Scale:
    """What the number of objects depends on."""

    cpus: int
    nodes: int
    memory_blocks: int

    def busy_cpus(self, *, reclaimable: bool) -> float:
        """CPUs, by the objects they have."""
        idle = max(self.cpus - BUSY_CPUS, 0)
        return self.cpus - (idle if reclaimable else idle / 2)


@cache
def rows(table: str) -> tuple[CacheRow, ...]:
    """In slabinfo's order: the newest cache first."""
    lines = resources.files("vmfs.data").joinpath(table).read_text().splitlines()[1:]
    return tuple(_row(*line.split("\t")) for line in lines)


def _row(name: str, *cells: str) -> CacheRow:
    object_size, per_node, align, size = (int(cell) for cell in cells[:4])
    active, active_per_cpu, total, total_per_cpu, per_block, objects_per_node = map(float, cells[5:])
    counts = active, active_per_cpu, total, total_per_cpu, per_block, objects_per_node
    return CacheRow(name, object_size, per_node, align, size, cells[4] == "reclaim", *counts)


def slab_caches(kernel: Kernel, scale: Scale) -> list[SlabState]:
    """All caches; objects fill whole slabs."""
    return [_state(row, scale) for row in rows(slab_table(kernel))]


def _state(row: CacheRow, scale: Scale) -> SlabState:
    size = row.size_at(scale.nodes)
    order = calculate_order(size, scale.cpus)
    per_slab = objects_per_slab(size, order)
    more = row.per_memory_block * scale.memory_blocks + row.per_node * scale.nodes
    cpus = scale.busy_cpus(reclaimable=row.reclaimable)
    slabs = -int(-(row.total + row.total_per_cpu * cpus + more) // per_slab)
    active = round(row.active + row.active_per_cpu * cpus + more)
    if (row.active, row.active_per_cpu) == (row.total, row.total_per_cpu):
        active = slabs * per_slab  # free objects of per-cpu slabs count as active
    return SlabState(
        name=row.name,
        size=size,
        objects_per_slab=per_slab,
        order=order,
        active_objs=min(active, slabs * per_slab),
        num_objs=slabs * per_slab,
        num_slabs=slabs,
        reclaimable=row.reclaimable,
        object_size=row.object_size + row.bytes_per_node * scale.nodes,
        align=row.align,
    )
