"""What the trees of the page cache hold, and remember of reclaimed pages (mm/workingset.c, lib/xarray.c)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmfs.mm import swapfile
from vmfs.mm.mmzone import Node
from vmfs.mm.vmstat import Item

if TYPE_CHECKING:
    from vmfs.mm.file_set import FileSet
    from vmfs.mm.lru import Batch
    from vmfs.mm.machine import Machine

XA_CHUNK_SIZE = 64  # slots in one node
NODES = "radix_tree_node"
ANON_LISTS = (Item.NR_INACTIVE_ANON, Item.NR_ACTIVE_ANON)
WORKINGSET = (Item.NR_ACTIVE_FILE, Item.NR_INACTIVE_FILE, Item.NR_ACTIVE_ANON)
MOST_SHADOW_NODES = 8  # one for so many pages: 1 << (XA_CHUNK_SHIFT - 3)


@dataclass(slots=True)
class Trees:
    """Slots in use: cached pages of files longer than a page, and shadows of reclaimed ones.

    Nodes are taken to be full, and to hold either pages or shadows. They are counted where files are
    read by default, wherever they are.
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


def eviction(machine: Machine, batch: Batch, left: int) -> None:
    """workingset_eviction(): reclaimed pages leave their shadows; `left` file pages stay."""
    trees = machine.vfs.trees
    if batch.files is not None:
        batch.files.shadows += batch.pages
    gone = trees.pages * batch.pages // max(batch.pages + left, 1)
    trees.pages -= gone
    _count_shadows(machine, gone)


def forget(machine: Machine, part: int, whole: int) -> None:
    """clear_shadow_entry(): that part of the files is gone, with all their shadows."""
    trees = machine.vfs.trees
    before = trees.nodes
    _count_shadows(machine, -(trees.shadows * part // max(whole, 1)))
    forget_files(machine, part, whole)
    machine.cache_free(NODES, before - trees.nodes)


def forget_files(machine: Machine, part: int, whole: int) -> None:
    """That part of the shadows of files with a name is gone, and their pages will be no refaults."""
    for known in machine.vfs.file_sets.values():
        known.shadows -= known.shadows * part // max(whole, 1)


def _count_shadows(machine: Machine, slots: int) -> None:
    """Shadows come or go, and the nodes that hold nothing else are counted: workingset_update_node()."""
    trees = machine.vfs.trees
    before = trees.shadows // XA_CHUNK_SIZE
    trees.shadows += slots
    node = machine.node(machine.default_nid)
    node.mod_state(Item.WORKINGSET_NODES, trees.shadows // XA_CHUNK_SIZE - before)


def shadow_lru_isolate(machine: Machine, nodes: int) -> None:
    """The shrinker has freed nodes of shadows."""
    forget_files(machine, nodes * XA_CHUNK_SIZE, machine.vfs.trees.shadows)
    _count_shadows(machine, -nodes * XA_CHUNK_SIZE)
    machine.node(machine.default_nid).mod_state(Item.WORKINGSET_NODERECLAIM, nodes)


def refault_file(machine: Machine, known: FileSet, lost: int, nid: int) -> int:
    """workingset_refault() of files that are read again and of which so many pages are not cached.

    Returns how many of them are active at once, all or none: without generations, when no more of the
    files was reclaimed than is in use elsewhere. With them a page starts as others do.
    """
    pages = min(lost, known.shadows)
    recent = not machine.lru_gen.enabled and known.shadows <= _in_use(machine)
    known.shadows -= pages
    _count_shadows(machine, -min(pages, machine.vfs.trees.shadows))
    machine.node(nid).mod_state(Item.WORKINGSET_REFAULT_FILE, pages)
    machine.node(nid).mod_state(Item.WORKINGSET_ACTIVATE_FILE, pages if recent else 0)
    return pages if recent else 0


def _in_use(machine: Machine) -> int:
    """workingset_test_recent(): what a page of a file may push out, in pages."""
    items = (Item.NR_ACTIVE_FILE, *(ANON_LISTS if swapfile.nr_swap_pages(machine) else ()))
    return sum(machine.global_page_state(item) for item in items)


def refault_anon(machine: Machine, node: Node, pages: int) -> None:
    """workingset_refault() of pages that come back from swap to a node.

    With lru_gen only those count that were on the same node before. That is not kept: they are taken
    to have been on all nodes alike.
    """
    if machine.lru_gen.enabled:
        pages = pages * node.managed_pages // max(machine.totalram_pages, 1)
    node.mod_state(Item.WORKINGSET_REFAULT_ANON, pages)


def activates_anon(machine: Machine, node: Node) -> bool:
    """workingset_test_recent(): whether what comes back from swap was gone for a short while only.

    The refault distance is not kept by page. Of pages that are touched at random it is what is swapped
    out on the average, and so it is taken here; the node has its share of that. Without generations
    the page must have fitted beside all that is in use; with them its generation is taken to exist.
    """
    if machine.lru_gen.enabled:
        return True
    distance = swapfile.used_swap_pages(machine) * node.managed_pages // max(machine.totalram_pages, 1)
    return distance <= sum(node.page_state(item) for item in WORKINGSET)


def count_shadow_nodes(machine: Machine) -> int:
    """Nodes of shadows beyond what is worth remembering."""
    present = sum(node.present_pages for node in machine.nodes)
    return max(machine.vfs.trees.shadows // XA_CHUNK_SIZE - present // MOST_SHADOW_NODES, 0)
