"""Slab caches: objects, slabs, and the pages behind them (mm/slub.c, mm/slab.h)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vmfs.mm import alloc_request, page_free
from vmfs.mm.extents import Extents
from vmfs.mm.vmstat import Item

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine
    from vmfs.mm.mmzone import Node


@dataclass(slots=True, eq=False)
class KmemCache:
    """`size` counts metadata and alignment, as slabinfo's objsize; slabs hold `1 << order` pages.

    `nodes` says how many of the slabs each node holds. It is filled when slabs come and go: where
    a machine's first slabs lie is only known as a sum over all caches.
    """

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
    nodes: dict[int, int] = field(default_factory=dict)

    @property
    def item(self) -> Item:
        return Item.NR_SLAB_RECLAIMABLE if self.reclaimable else Item.NR_SLAB_UNRECLAIMABLE


def alloc(machine: Machine, cache: KmemCache, count: int, nid: int) -> None:
    """kmem_cache_alloc() `count` times: free objects first, then new slabs. All, or OutOfMemory."""
    # Reclaim on the way may shrink this very cache, so what is missing is counted again.
    while (missing := count - (cache.num_objs - cache.active_objs)) > 0:
        _new_slabs(machine, cache, -(-missing // cache.objects_per_slab), nid)
    cache.active_objs += count


def _new_slabs(machine: Machine, cache: KmemCache, slabs: int, nid: int) -> None:
    request = alloc_request.gfp_kernel(machine, nid, slabs, cache.order, cache.reclaimable)
    for zone, extents in machine.alloc_pages(request):
        zone.slab[cache.reclaimable] = Extents.concat([zone.slab[cache.reclaimable], extents])
        machine.node(zone.nid).mod_state(cache.item, extents.pages)
        cache.nodes[zone.nid] = cache.nodes.get(zone.nid, 0) + (extents.pages >> cache.order)
    cache.num_slabs += slabs
    cache.num_objs += slabs * cache.objects_per_slab


def free(machine: Machine, cache: KmemCache, count: int, node: Node | None = None) -> int:
    """kmem_cache_free() `count` times; slabs left empty go back at once. Returns their pages.

    The objects freed are taken to be neighbours, as those of a workload are: all slabs but the
    last become wholly empty.
    """
    cache.active_objs -= min(count, cache.active_objs)
    empty = cache.num_slabs - -(-cache.active_objs // cache.objects_per_slab)
    return sum(
        _free_slabs(machine, cache, each, slabs) for each, slabs in _where(machine, cache, empty, node)
    )


def _where(machine: Machine, cache: KmemCache, slabs: int, node: Node | None) -> list[tuple[Node, int]]:
    """Which nodes lose slabs: those known to hold this cache's first, then any that hold such pages."""
    nodes = [node] if node is not None else machine.nodes
    found: dict[Node, int] = {}
    for known in (True, False):
        for each in nodes:
            limit = sum(z.slab[cache.reclaimable].pages for z in each.zones) >> cache.order
            if known:
                limit = min(limit, cache.nodes.get(each.nid, 0))
            share = min(slabs, limit - found.get(each, 0))
            if share > 0:
                found[each] = found.get(each, 0) + share
                slabs -= share
    return list(found.items())


def _free_slabs(machine: Machine, cache: KmemCache, node: Node, slabs: int) -> int:
    """discard_slab(): the pages leave the node's zones, the newest first."""
    want = slabs << cache.order
    for zone in reversed(node.zones):
        held = zone.slab[cache.reclaimable]
        kept, gone = held.take(max(held.pages - want, 0))
        zone.slab[cache.reclaimable] = kept
        page_free.free_pages(machine, zone, gone, cache.order)
        want -= gone.pages
    node.mod_state(cache.item, -(slabs << cache.order))
    cache.nodes[node.nid] = max(cache.nodes.get(node.nid, 0) - slabs, 0)
    cache.num_slabs -= slabs
    cache.num_objs -= slabs * cache.objects_per_slab
    return slabs << cache.order
