"""Slab caches when memory is short: all of a request or nothing, and no page without an owner."""

import pytest

from vmfs import boot, spec
from vmfs.mm.check import check
from vmfs.mm.machine import Machine
from vmfs.mm.page_alloc import OutOfMemory
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
