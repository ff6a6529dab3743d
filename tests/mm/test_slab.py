"""Slab caches when memory is short: all of a request or nothing, and no page without an owner."""

import pytest

from tests import recordings
from vmfs import boot, capture, spec
from vmfs.mm import shrinker, vmscan, wmark
from vmfs.mm.alloc_request import OutOfMemory
from vmfs.mm.check import check
from vmfs.mm.machine import Machine
from vmfs.mm.scan_control import ScanControl
from vmfs.mm.vmstat import Item


def tiny(release="6.12"):
    return Machine.from_snapshot(boot.boot(spec.load("tiny", kernel=release)))


def counts(cache):
    return cache.active_objs, cache.num_objs, cache.num_slabs


def test_more_objects_than_memory_holds_are_refused_whole():
    machine = tiny()
    cache = machine.slab_cache("kmalloc-8k")
    before, used = counts(cache), machine.totalram_pages - machine.free_pages
    with pytest.raises(OutOfMemory):
        machine.slab_alloc(cache, machine.totalram_pages)

    assert counts(cache) == before
    assert machine.totalram_pages - machine.free_pages <= used + machine.totalram_pages // 100
    check(machine)


def test_the_kernel_kills_before_it_refuses():
    machine = tiny()
    machine.start("victim", anon=machine.free_pages * 3 // 4)
    machine.slab_alloc(machine.slab_cache("kmalloc-8k"), machine.totalram_pages // 4)

    assert machine.tasks == {}
    check(machine)


@pytest.mark.parametrize("release", ["5.10", "6.12"])
def test_reclaim_may_shrink_the_cache_that_grows(release):
    machine = tiny(release)
    for _ in range(6):
        machine.read_files(machine.totalram_pages // 8, 40_000)
        check(machine)
    assert machine.slab_cache("ext4_inode_cache").active_objs < 6 * 40_000


@pytest.mark.parametrize("release", ["5.10", "6.12"])
def test_dropped_slab_leaves_only_inodes_that_have_pages(release):
    machine = tiny(release)
    before = machine.vfs.cached_inodes
    machine.read_files(10_000, 5_000)
    machine.drop_caches(2)

    kept = before + 5_000 if release == "6.12" else 0
    assert (machine.vfs.unused_dentries, machine.vfs.unused_inodes) == (0, kept)
    assert machine.vfs.cached_inodes == kept
    machine.drop_caches(3)
    assert (machine.vfs.unused_inodes, machine.vfs.cached_inodes) == (0, 0)


def test_inodes_that_take_their_pages_along_count_them():
    machine = tiny("5.10")
    machine.read_files(10_000, 5_000)
    before = machine.global_page_state(Item.NR_FILE_PAGES)
    machine.drop_caches(2)

    gone = before - machine.global_page_state(Item.NR_FILE_PAGES)
    assert gone >= 10_000
    assert machine.event(Item.PGINODESTEAL) == gone
    assert machine.event(Item.KSWAPD_INODESTEAL) == 0


@pytest.mark.parametrize("release", ["5.10", "6.1", "6.12", "7.2"])
def test_node_reclaim_ends_where_slab_is_down_to_its_ratio(release):
    machine = Machine.from_snapshot(boot.boot(spec.load("article", kernel=release)))
    node = machine.nodes[0]
    machine.read_files(100_000, 1_000_000, nid=0)
    machine.set_sysctl("min_slab_ratio", 1)
    machine.set_sysctl("zone_reclaim_mode", 7)  # with lru_gen nothing is done for less
    least = wmark.min_slab_pages(machine, node)
    assert node.page_state(Item.NR_SLAB_RECLAIMABLE) > least * 3 // 2

    machine.start("hog", anon=node.managed_pages, nid=0)
    assert least * 9 // 10 < node.page_state(Item.NR_SLAB_RECLAIMABLE) <= least
    check(machine)


@pytest.mark.parametrize("pages", [100, 1000])
def test_rounds_are_as_many_as_free_the_pages(pages):
    machine = tiny()
    node = machine.nodes[0]
    machine.read_files(40_000, 40_000)
    machine.drop_caches(1)
    freed = shrinker.shrink_slab(machine, node, shrinker.rounds_for(machine, node, pages))

    assert freed == pytest.approx(pages, rel=0.2)
    check(machine)


@pytest.mark.parametrize("release", ["6.1", "6.12"])
def test_trimming_the_page_cache_leaves_slab_alone_once_it_is_gone(release):
    machine = tiny(release)
    node = machine.nodes[0]
    machine.swapon(machine.totalram_pages, "/swap")
    machine.read_files(40_000, 40_000)
    machine.drop_caches(1)
    before = node.page_state(Item.NR_SLAB_RECLAIMABLE)
    control = ScanControl(machine.zone_index("Movable"), kswapd=True, trim_cache=True)
    vmscan.shrink_node(machine, node, control, 10_000)

    assert node.page_state(Item.NR_SLAB_RECLAIMABLE) > before * 9 // 10


@pytest.mark.parametrize("release", ["6.1", "7.2"])
def test_an_object_is_looked_at_until_it_goes(release):
    machine = tiny(release)
    machine.drop_caches(3)
    machine.read_files(5_000, 5_000)
    dentries, extents = machine.vfs.unused_dentries, extents_of(machine)
    directories = machine.vfs.unused_inodes - machine.vfs.cached_inodes
    scanned = machine.event(Item.SLABS_SCANNED)
    machine.drop_caches(2)

    # As recorded kernels do after 10,000 files were read: 4.3 for each.
    assert machine.event(Item.SLABS_SCANNED) - scanned == 2 * (dentries + extents) + directories
    assert extents_of(machine) == 0


def extents_of(machine):
    names = ("ext4_extent_status", "extent_status")
    return sum(cache.active_objs for name in names if (cache := machine.slab_cache(name)))


@pytest.mark.parametrize("release", ["6.1", "6.12"])
def test_the_shadow_of_a_page_goes_with_its_inode(release):
    machine = tiny(release)
    node = machine.nodes[0]
    machine.drop_caches(3)
    machine.read_files(10_000, 10_000)
    machine.reclaim_node(0, node.page_state(Item.NR_FILE_PAGES))
    shadowed = machine.vfs.shadowed_inodes
    stolen = machine.event(Item.PGINODESTEAL) + machine.event(Item.KSWAPD_INODESTEAL)
    assert shadowed + stolen > 8_000
    machine.drop_caches(2)

    assert machine.vfs.shadowed_inodes == 0
    assert machine.event(Item.PGINODESTEAL) + machine.event(Item.KSWAPD_INODESTEAL) == stolen + shadowed
    check(machine)


def test_a_page_that_is_read_again_has_no_shadow_any_more():
    machine = tiny("6.1")
    machine.drop_caches(3)
    machine.read_files(5_000, 5_000, name="site")
    machine.reclaim_node(0, 1_000)
    shadowed = machine.vfs.shadowed_inodes
    assert shadowed > 500
    machine.read_files(5_000, 5_000, name="site")

    assert machine.vfs.shadowed_inodes < shadowed // 4
    assert machine.vfs.shadowed_inodes <= machine.vfs.unused_inodes - machine.vfs.cached_inodes


@pytest.mark.parametrize(("pressure", "left"), [(0, 5_000), (1, 0), (1000, 0)])
def test_without_any_pressure_on_them_no_dentries_are_dropped(pressure, left):
    machine = tiny("6.12")
    machine.drop_caches(3)
    machine.set_sysctl("vfs_cache_pressure", pressure)
    machine.read_files(5_000, 5_000)
    machine.drop_caches(3)

    assert machine.vfs.unused_dentries == machine.vfs.unused_inodes
    assert left <= machine.vfs.unused_dentries <= left + 20  # and their directories
    assert machine.global_page_state(Item.NR_INACTIVE_FILE) == 0


def test_a_capture_tells_of_shadows_by_their_nodes():
    """Recorded (6.12): 10,000 inodes whose pages reclaim took go with `kswapd_inodesteal`, a shadow each."""
    machine, _ = capture.load(recordings.load("quad-6.12") / "35-compact_memory")
    nodes = machine.global_page_state(Item.WORKINGSET_NODES)
    assert machine.vfs.trees.shadows == nodes * 64 > 0
    inodes = machine.vfs.shadowed_inodes
    assert inodes > 8000
    objects = machine.slab_cache("radix_tree_node").active_objs
    machine.drop_caches(2)
    assert machine.event(Item.PGINODESTEAL) == pytest.approx(inodes, abs=2)
    left = machine.global_page_state(Item.WORKINGSET_NODES)
    assert left < nodes // 100  # of inodes that are open
    assert objects - machine.slab_cache("radix_tree_node").active_objs == nodes - left
    check(machine)
