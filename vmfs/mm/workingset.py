"""What the trees of the page cache hold, and remember of reclaimed pages (mm/workingset.c, lib/xarray.c)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from vmfs.kernel import Feature
from vmfs.mm import lru, scan_count, swapfile
from vmfs.mm.ctrl_pos import MAX_NR_GENS, MIN_NR_GENS
from vmfs.mm.lru import Lru, Use
from vmfs.mm.mmzone import Node, Zone
from vmfs.mm.shadow import Shadow
from vmfs.mm.vmstat import Item

if TYPE_CHECKING:
    from vmfs.mm.lru import Batch
    from vmfs.mm.machine import Machine

XA_CHUNK_SIZE = 64  # slots in one node
NODES = "radix_tree_node"
LONG_AGO = -(1 << 62)
_REFAULT = (Item.WORKINGSET_REFAULT_ANON, Item.WORKINGSET_REFAULT_FILE)
_ACTIVATE = (Item.WORKINGSET_ACTIVATE_ANON, Item.WORKINGSET_ACTIVATE_FILE)
_RESTORE = (Item.WORKINGSET_RESTORE_ANON, Item.WORKINGSET_RESTORE_FILE)
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
    """Of a machine whose caches are known: nodes of shadows are counted, the rest is for file pages."""
    cache = machine.slab_cache(NODES)
    nodes = cache.active_objs if cache else 0
    of_shadows = min(machine.global_page_state(Item.WORKINGSET_NODES), nodes)
    return Trees(min(file_pages, (nodes - of_shadows) * XA_CHUNK_SIZE), of_shadows * XA_CHUNK_SIZE)


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


def eviction(machine: Machine, node: Node, batch: Batch, left: int) -> None:
    """Pages of files are reclaimed and leave their shadows; `left` stay."""
    trees = machine.vfs.trees
    shadow = pack_shadow(machine, node, batch)
    if batch.files is not None:
        batch.files.shadows.add(shadow)
    elif batch.task is not None:
        batch.task.file_shadows.add(shadow)
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
    """That part of the shadows of files that are read again is gone: their pages will be no refaults."""
    kept = [known.shadows for known in machine.vfs.file_sets.values()]
    for shadows in [*kept, *(task.file_shadows for task in machine.tasks.values())]:
        shadows.forget(part, whole)


def shadows_used(machine: Machine, pages: int) -> None:
    """Pages of files came back: their slots hold them again."""
    _count_shadows(machine, -min(pages, machine.vfs.trees.shadows))


def _count_shadows(machine: Machine, slots: int) -> None:
    """Shadows come or go, and the nodes that hold nothing else are counted: workingset_update_node()."""
    trees = machine.vfs.trees
    before = trees.shadows // XA_CHUNK_SIZE
    trees.shadows += slots
    more = trees.shadows // XA_CHUNK_SIZE - before
    for node in machine.nodes if more < 0 else ():  # wherever a capture has them
        fewer = min(node.page_state(Item.WORKINGSET_NODES), -more)
        node.mod_state(Item.WORKINGSET_NODES, -fewer)
        more += fewer
    machine.node(machine.default_nid).mod_state(Item.WORKINGSET_NODES, more)


def shadow_lru_isolate(machine: Machine, nodes: int) -> None:
    """The shrinker has freed nodes of shadows."""
    forget_files(machine, nodes * XA_CHUNK_SIZE, machine.vfs.trees.shadows)
    _count_shadows(machine, -nodes * XA_CHUNK_SIZE)
    machine.node(machine.default_nid).mod_state(Item.WORKINGSET_NODERECLAIM, nodes)


def pack_shadow(machine: Machine, node: Node, batch: Batch) -> Shadow:
    """workingset_eviction(): pages of a batch go, and the node ages by them."""
    file = batch.use is Use.FILE
    if machine.lru_gen.enabled:
        node.generations.tiers.of(file).evicted += batch.pages
        max_seq = node.generations.max_seq
        return Shadow(node.nid, max_seq, max_seq, batch.workingset, batch.pages)
    before = node.nonresident_age
    node.nonresident_age += batch.pages
    return Shadow(node.nid, before, node.nonresident_age, batch.workingset, batch.pages)


class Refault(NamedTuple):
    """Pages that come back: to the active list or not, and known to have been in use before."""

    active: bool
    workingset: bool
    pages: int


def refault(
    machine: Machine, node: Node, shadows: list[Shadow], *, file: bool, in_fault: bool
) -> list[Refault]:
    """workingset_refault() of pages that come back to a node, those of one fate together.

    With lru_gen only those count that were on the same node before.
    """
    fates: dict[tuple[bool, bool], int] = {}
    for shadow in shadows:
        recent = _test_recent(machine, shadow, file)
        for pages, is_recent in ((shadow.pages - recent, False), (recent, True)):
            some = replace(shadow, pages=pages)
            if machine.lru_gen.enabled:
                fate = _lru_gen_refault(machine, node, some, file, recent=is_recent, in_fault=in_fault)
            else:
                fate = _refault(machine, node, some, file, recent=is_recent)
            fates[fate] = fates.get(fate, 0) + pages
    return [Refault(*fate, pages) for fate, pages in fates.items() if pages]


def add_refaulted(
    node: Node, zone: Zone, batch: Batch, refaults: list[Refault], lists: tuple[Lru, Lru]
) -> None:
    """A batch comes back, the pages of each fate to one of two lists; those without a shadow to the first."""
    left = batch.pages
    for fate in refaults:
        some = lru.split(batch, fate.pages)
        some.workingset = fate.workingset
        left -= some.pages
        lru.add(node, zone, lists[fate.active], some)
    if left:
        lru.add(node, zone, lists[0], batch)


def _test_recent(machine: Machine, shadow: Shadow, file: bool) -> int:
    """workingset_test_recent(), lru_gen_test_recent(): how many of the pages were gone for a short while."""
    node = machine.node(shadow.nid)
    if machine.lru_gen.enabled:
        return shadow.since(node.generations.max_seq - (MAX_NR_GENS - MIN_NR_GENS) + 1)
    return shadow.since(node.nonresident_age - _workingset_size(machine, node, file))


def _refault(machine: Machine, node: Node, shadow: Shadow, file: bool, *, recent: bool) -> tuple[bool, bool]:
    """Whether the pages are active, and were in use before."""
    node.mod_state(_REFAULT[file], shadow.pages)
    if not recent:
        return False, False
    node.nonresident_age += shadow.pages
    node.mod_state(_ACTIVATE[file], shadow.pages)
    if shadow.workingset:
        node.mod_state(_RESTORE[file], shadow.pages)
        scan_count.lru_note_cost(machine, node, file, shadow.pages)
    return True, shadow.workingset


def _lru_gen_refault(
    machine: Machine, node: Node, shadow: Shadow, file: bool, *, recent: bool, in_fault: bool
) -> tuple[bool, bool]:
    """What is faulted in starts in the youngest generation, whatever its shadow says."""
    if shadow.nid != node.nid:
        return in_fault, False
    node.mod_state(_REFAULT[file], shadow.pages)
    if not recent:
        return in_fault, False
    node.generations.tiers.of(file).refaulted += shadow.pages
    strict = machine.kernel.has(Feature.LRU_GEN_RESTORES_WORKINGSET)
    restored = shadow.workingset if strict else in_fault
    activated = restored and in_fault if strict else True
    node.mod_state(_ACTIVATE[file], shadow.pages * activated)
    node.mod_state(_RESTORE[file], shadow.pages * restored)
    return in_fault, restored


def _workingset_size(machine: Machine, node: Node, file: bool) -> int:
    """What a page that comes back may push out, in pages."""
    items = [Item.NR_ACTIVE_FILE] if file else [Item.NR_ACTIVE_FILE, Item.NR_INACTIVE_FILE]
    if swapfile.nr_swap_pages(machine):
        items += [Item.NR_ACTIVE_ANON, Item.NR_INACTIVE_ANON] if file else [Item.NR_ACTIVE_ANON]
    return sum(node.page_state(item) for item in items)


def unknown_shadows(machine: Machine, pages: int) -> list[Shadow]:
    """Of pages that had gone before the machine was captured: long ago, from all nodes alike."""
    shadows, left, managed = [], pages, machine.totalram_pages
    for node in machine.nodes:
        share = -(-left * node.managed_pages // max(managed, 1))
        left, managed = left - share, managed - node.managed_pages
        shadows.append(Shadow(node.nid, LONG_AGO, LONG_AGO, False, share))
    return [shadow for shadow in shadows if shadow.pages]


def count_shadow_nodes(machine: Machine) -> int:
    """Nodes of shadows beyond what is worth remembering."""
    present = sum(node.present_pages for node in machine.nodes)
    return max(machine.vfs.trees.shadows // XA_CHUNK_SIZE - present // MOST_SHADOW_NODES, 0)
