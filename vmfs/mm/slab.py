"""Slab caches (mm/slab.h: struct kmem_cache)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class KmemCache:
    """`size` counts metadata and alignment, as slabinfo's objsize; slabs hold `1 << order` pages."""

    name: str
    size: int
    objects_per_slab: int
    order: int
    reclaimable: bool
    object_size: int
    align: int
    active_objs: int = 0
    num_objs: int = 0
    num_slabs: int = 0
