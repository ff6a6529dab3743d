"""Reclaimable slab objects and what frees them (mm/shrinker.c, fs/dcache.c, fs/inode.c).

Dentries and inodes of files that are no longer open are unused: they wait in their caches until
memory is short. The rest of a cache is in use and never shrinks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vmfs.kernel import Feature
from vmfs.mm import filemap, slab, truncate, workingset
from vmfs.mm.file_set import FileSet
from vmfs.mm.mmzone import Node
from vmfs.mm.vmstat import Item
from vmfs.mm.workingset import Trees

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

DISK_INODE_CACHES = ("ext4_inode_cache", "xfs_inode", "btrfs_inode", "nfs_inode_cache", "fat_inode_cache")
SHRINK_BATCH = 128
SCANS_PER_ROUND = 2  # of every object: 4 / DEFAULT_SEEKS
INODES = "ext4_inode_cache"
SCANS = {"dentry": 2} | dict.fromkeys(filemap.EXTENT_CACHES, 2)
"""How often an object is looked at until it goes. Who reads a file looks it up twice, to stat and to open it,
and its extents as well: the first scan finds that and gives them another turn."""
SCANS_WITH_PAGES = 3  # of an inode that still holds something: it lets go of that, has another turn, and goes


@dataclass(slots=True)
class Vfs:
    """What the filesystem layer holds unused. Objects, not pages.

    `cached_inodes` of the unused inodes have pages in the page cache, `shadowed_inodes` had a page that
    reclaim took (files are taken to have one, whose shadow is all their tree holds). `file_sets` are the
    files that have a name. `nr_deferred` is what shrinkers were asked to scan and did not yet, by node
    and cache.
    """

    unused_dentries: int = 0
    unused_inodes: int = 0
    cached_inodes: int = 0
    trees: Trees = field(default_factory=Trees)
    shadowed_inodes: int = 0
    file_sets: dict[str, FileSet] = field(default_factory=dict)
    nr_deferred: dict[tuple[int, str], float] = field(default_factory=dict)

    def opened(self, dentries: int, inodes: int, cached: int) -> None:
        """Files were opened, read or written, and closed."""
        self.unused_dentries += dentries
        self.unused_inodes += inodes
        self.cached_inodes = min(self.cached_inodes + cached, self.unused_inodes)
        self.shadowed_inodes = min(self.shadowed_inodes, self.unused_inodes - self.cached_inodes)

    def pages_dropped(self, pages: int, left: int, *, reclaimed: bool = False) -> None:
        """Page cache went: inodes lose their last page in proportion, the last one with the last page."""
        if pages:
            kept = -(-self.cached_inodes * left // (pages + left))
            self.shadowed_inodes += (self.cached_inodes - kept) * reclaimed
            self.cached_inodes = kept


def loaded(machine: Machine) -> Vfs:
    """What a machine whose caches are known must hold unused: the objects of its disk filesystems.

    Where reclaim has left shadows, it took the pages of inodes that have none.
    """
    inodes = sum(c.active_objs for c in machine.slab_caches if c.name in DISK_INODE_CACHES)
    dentry = machine.slab_cache("dentry")
    dentries = min(inodes, dentry.active_objs) if dentry else 0
    pages = filemap.file_lru_pages(machine)
    cached, trees = min(inodes, pages), workingset.loaded(machine, pages)
    return Vfs(dentries, inodes, cached, trees, inodes - cached if trees.shadows else 0)


def mapping_shrinkable(machine: Machine) -> bool:
    """Whether an inode goes together with its pages: on old kernels, and where low memory is scarce."""
    features = {Feature.INODE_SHRINKER_DROPS_PAGES, Feature.HIGHMEM}
    return not features.isdisjoint(machine.kernel.features)


def _freeable(machine: Machine) -> dict[str, int]:
    """Objects the shrinkers count, by cache, in the order they are asked."""
    vfs = machine.vfs
    with_pages = mapping_shrinkable(machine)
    # An inode is let go only after its dentry.
    inodes = vfs.unused_inodes - (0 if with_pages else vfs.cached_inodes)
    extents = {
        name: cache.active_objs for name in filemap.EXTENT_CACHES if (cache := machine.slab_cache(name))
    }
    return {
        "dentry": vfs.unused_dentries,
        INODES: max(inodes, 0),
        **extents,
        workingset.NODES: workingset.count_shadow_nodes(machine),
    }


def freeable_pages(machine: Machine, node: Node) -> int:
    """About how many pages of a node the shrinkers could free."""
    return int(_pages(machine, node, dict.fromkeys(_freeable(machine), 1)))


def rounds_for(machine: Machine, node: Node, pages: int) -> float:
    """How many rounds free about so many pages of a node."""
    part = {name: SCANS_PER_ROUND / _scans(machine, name) for name in _freeable(machine)}
    return pages / max(_pages(machine, node, part), 1)


def _pages(machine: Machine, node: Node, part: Mapping[str, float]) -> float:
    """Pages of such parts of what the shrinkers count."""
    pages = sum(
        part[name] * (count // cache.objects_per_slab << cache.order)
        for name, count in _freeable(machine).items()
        if (cache := machine.slab_cache(name)) is not None
    )
    return pages * machine.sysctl.vfs_cache_pressure / 100 * _share_of(machine, node)


def _scans(machine: Machine, name: str) -> float:
    """How often an object of a cache is looked at until it goes, on the average."""
    if name != INODES:
        return SCANS.get(name, 1)
    vfs = machine.vfs
    holding = vfs.shadowed_inodes + (vfs.cached_inodes if mapping_shrinkable(machine) else 0)
    share = holding / max(_freeable(machine)[INODES], holding, 1)
    return 1 + (SCANS_WITH_PAGES - 1) * share


def shrink_slab(machine: Machine, node: Node, rounds: float, *, kswapd: bool = False) -> int:
    """shrink_slab() of so many rounds of reclaim that each look at all there is; returns the pages freed."""
    if not freeable_pages(machine, node) or rounds <= 0:
        return 0
    stolen = Item.KSWAPD_INODESTEAL if kswapd else Item.PGINODESTEAL
    return sum(
        _shrink(machine, name, _total_scan(machine, node, name, count, rounds), node, stolen)
        for name, count in _freeable(machine).items()
    )


def _total_scan(machine: Machine, node: Node, name: str, count: int, rounds: float) -> int:
    """do_shrink_slab(): of the node's objects, by their seeks, how many are looked at until they go.

    What is less than a batch waits for more. Nodes of shadows have no seeks and go whatever the priority,
    in the end all.
    """
    if name == workingset.NODES:
        return count
    vfs, pressure = machine.vfs, machine.sysctl.vfs_cache_pressure
    here = count * _share_of(machine, node) * pressure / 100
    scans = _scans(machine, name)
    scan = vfs.nr_deferred.get((node.nid, name), 0.0) + here * SCANS_PER_ROUND * rounds
    scan = min(scan, here * scans, count * scans)
    ready = int(scan / scans) if scan >= min(SHRINK_BATCH, int(here)) else 0
    vfs.nr_deferred[node.nid, name] = scan - ready * scans
    return ready


def _share_of(machine: Machine, node: Node) -> float:
    """Which part of the objects is on a node: they are taken to be where reclaimable slab pages are."""
    total = sum(each.page_state(Item.NR_SLAB_RECLAIMABLE) for each in machine.nodes)
    return node.page_state(Item.NR_SLAB_RECLAIMABLE) / total if total else 0.0


def drop_slab(machine: Machine) -> None:
    """drop_caches bit 2: every unused object, round after round until little is freed.

    However low vfs_cache_pressure is; only where it is 0, super_cache_count() tells of nothing.
    """
    hidden = () if machine.sysctl.vfs_cache_pressure else ("dentry", INODES)
    for _ in range(2):  # the second round finds the inodes whose dentries went in the first
        for name, count in _freeable(machine).items():
            if name not in hidden:
                _shrink(machine, name, count, None, Item.PGINODESTEAL)
    if not machine.vfs.unused_inodes:  # nor are files kept that lost their last page while they were read
        workingset.forget(machine, 1, 1)
    machine.count_event(Item.DROP_SLAB, 1)


def _shrink(machine: Machine, name: str, count: int, node: Node | None, stolen: Item) -> int:
    cache = machine.slab_cache(name)
    if cache is None or count <= 0:
        return 0
    machine.count_event(Item.SLABS_SCANNED, int(count * _scans(machine, name)))
    freed = slab.free(machine, cache, count, node)
    if name == "dentry":
        for known in machine.vfs.file_sets.values():
            known.dentries -= known.dentries * count // machine.vfs.unused_dentries
        machine.vfs.unused_dentries -= count
    elif name == workingset.NODES:
        workingset.shadow_lru_isolate(machine, count)
    elif name == INODES:
        freed += _inodes_gone(machine, count, node, stolen)
    return freed


def _inodes_gone(machine: Machine, count: int, node: Node | None, stolen: Item) -> int:
    """evict(): an inode takes its security blob along, and until 6.1 its pages, which `stolen` counts.

    It also counts shadows that go with their inode.
    """
    vfs = machine.vfs
    shadowed = vfs.shadowed_inodes * count // max(_freeable(machine)[INODES], 1)
    vfs.shadowed_inodes -= shadowed
    machine.count_event(stolen, shadowed)
    gone = vfs.cached_inodes * count // max(vfs.unused_inodes, 1) if mapping_shrinkable(machine) else 0
    left = vfs.cached_inodes - gone
    workingset.forget(machine, count, vfs.unused_inodes)
    for known in vfs.file_sets.values():
        known.inodes -= known.inodes * count // vfs.unused_inodes
    vfs.unused_inodes -= count
    if gone:
        total = filemap.file_lru_pages(machine)
        machine.count_event(stolen, truncate.drop_file_pages(machine, total * gone // vfs.cached_inodes))
    vfs.cached_inodes = min(left, vfs.unused_inodes)
    blobs = machine.slab_cache("lsm_inode_cache")
    return slab.free(machine, blobs, count, node) if blobs else 0
