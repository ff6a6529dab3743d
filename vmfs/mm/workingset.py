"""What the trees of the page cache hold, and remember of reclaimed pages (mm/workingset.c, lib/xarray.c)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

XA_CHUNK_SIZE = 64  # slots in one node
NODES = "radix_tree_node"
MOST_SHADOW_NODES = 8  # one for so many pages: 1 << (XA_CHUNK_SHIFT - 3)


@dataclass(slots=True)
class Trees:
    """Slots in use: cached pages of files longer than a page, and shadows of reclaimed ones.

    Nodes are taken to be full, and to hold either pages or shadows.
    """

    pages: int = 0
    shadows: int = 0

    @property
    def nodes(self) -> int:
        return (self.pages + self.shadows) // XA_CHUNK_SIZE


def loaded(machine: Machine, file_pages: int) -> Trees:
    """Of a machine whose caches are known: as many of its file pages as there are nodes for."""
    cache = machine.slab_cache(NODES)
    return Trees(min(file_pages, cache.active_objs * XA_CHUNK_SIZE if cache else 0))


def add(machine: Machine, pages: int, nid: int) -> None:
    """xas_create(), before the pages are there; OutOfMemory."""
    trees = machine.vfs.trees
    before = trees.nodes
    trees.pages += pages
    try:
        machine.cache_alloc(NODES, trees.nodes - before, nid)
    except MemoryError:
        trees.pages -= pages
        raise


def drop(machine: Machine, pages: int, left: int) -> None:
    """Pages went for good, `left` file pages stay: nodes without a page are freed."""
    trees = machine.vfs.trees
    before = trees.nodes
    trees.pages -= trees.pages * pages // max(pages + left, 1)
    machine.cache_free(NODES, before - trees.nodes)


def eviction(machine: Machine, pages: int, left: int) -> None:
    """workingset_eviction(): reclaimed pages leave their shadows."""
    trees = machine.vfs.trees
    gone = trees.pages * pages // max(pages + left, 1)
    trees.pages -= gone
    trees.shadows += gone


def forget(machine: Machine, part: int, whole: int) -> None:
    """clear_shadow_entry(): that part of the files is gone, with all their shadows."""
    trees = machine.vfs.trees
    before = trees.nodes
    trees.shadows -= trees.shadows * part // max(whole, 1)
    machine.cache_free(NODES, before - trees.nodes)


def count_shadow_nodes(machine: Machine) -> int:
    """Nodes of shadows beyond what is worth remembering."""
    present = sum(node.present_pages for node in machine.nodes)
    return max(machine.vfs.trees.shadows // XA_CHUNK_SIZE - present // MOST_SHADOW_NODES, 0)
