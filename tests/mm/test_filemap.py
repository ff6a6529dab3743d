"""Reading and writing far more than memory holds."""

import pytest

from tests.small_machine import small_machine
from vmfs import boot, spec
from vmfs.mm import page_alloc
from vmfs.mm.check import check
from vmfs.mm.machine import Machine
from vmfs.mm.mmzone import KBYTES_PER_PAGE
from vmfs.mm.vmstat import Item
from vmfs.mm.workingset import XA_CHUNK_SIZE


def tiny(release="6.1"):
    return Machine.from_snapshot(boot.boot(spec.load("tiny", kernel=release)))


@pytest.mark.parametrize("laps", [3, 1000])
def test_what_was_read_first_makes_room_for_what_comes_last(laps, monkeypatch):
    asked = []
    real = page_alloc.alloc_pages
    monkeypatch.setattr(page_alloc, "alloc_pages", lambda *args: asked.append(args) or real(*args))
    machine = tiny()
    pages = laps * 2 * machine.totalram_pages
    machine.read_files(pages)

    assert len(asked) < 2000
    assert machine.event(Item.OOM_KILL) == 0
    assert machine.event(Item.PGPGIN) >= pages * KBYTES_PER_PAGE
    stolen = machine.global_page_state(Item.PGSTEAL_KSWAPD) + machine.global_page_state(Item.PGSTEAL_DIRECT)
    assert pages - machine.totalram_pages < stolen < pages * 1.01
    assert machine.global_page_state(Item.PGSCAN_FILE) == stolen
    check(machine)


def test_the_trees_remember_only_so_many_reclaimed_pages():
    machine = tiny()
    nodes = machine.slab_cache("radix_tree_node")
    before = nodes.active_objs
    machine.read_files(50 * machine.totalram_pages)

    present = sum(node.present_pages for node in machine.nodes)
    cached = machine.global_page_state(Item.NR_FILE_PAGES)
    assert nodes.active_objs - before < present // 8 + 2 * cached // XA_CHUNK_SIZE
    machine.drop_caches(3)
    assert nodes.active_objs - before < 100


def test_nodes_of_shadows_are_counted_until_there_are_too_many():
    machine = tiny()
    counts = []
    while not machine.global_page_state(Item.WORKINGSET_NODERECLAIM):
        machine.read_files(2 * machine.totalram_pages, files=0)  # opened before
        counts.append(machine.global_page_state(Item.WORKINGSET_NODES))
    machine.read_files(2 * machine.totalram_pages, files=0)  # the first were reclaimed late in a round
    counts.append(machine.global_page_state(Item.WORKINGSET_NODES))

    assert counts[:-1] == sorted(counts[:-1])
    assert counts[0] > machine.totalram_pages // 2 // XA_CHUNK_SIZE
    most = sum(node.present_pages for node in machine.nodes) // 8
    assert most <= counts[-1] < most + 100
    machine.read_files(10, 10)
    machine.drop_caches(3)
    assert machine.global_page_state(Item.WORKINGSET_NODES) < 100


@pytest.mark.parametrize("verb", ["read_files", "write_files"])
def test_more_files_than_the_caches_hold(verb):
    machine = tiny()
    getattr(machine, verb)(10_000, 1_000_000)

    assert machine.slab_cache("dentry").active_objs < 1_000_000
    assert machine.event(Item.OOM_KILL) == 0
    check(machine)


def test_a_file_without_pages_is_no_reason_to_keep_its_inode():
    machine = tiny()
    before = machine.vfs.unused_inodes
    machine.read_files(0, 5_000)
    machine.drop_caches(2)
    assert machine.vfs.unused_inodes <= before


def test_a_little_room_is_used_many_times(monkeypatch):
    machine = tiny()
    machine.start("hog", anon=machine.free_pages - 2000, mlock=True, oom_score_adj=-1000)
    machine.drop_caches(3)
    asked = []
    real = page_alloc.alloc_pages
    monkeypatch.setattr(page_alloc, "alloc_pages", lambda *args: asked.append(args) or real(*args))
    machine.read_files(machine.totalram_pages)

    assert len(asked) < 3000
    assert machine.event(Item.PGPGIN) >= machine.totalram_pages * KBYTES_PER_PAGE
    check(machine)


@pytest.mark.parametrize("verb", ["read_files", "write_files"])
@pytest.mark.parametrize(("pages", "files"), [(1, 1 << 40), (1 << 40, 1), (1 << 30, 1 << 30)])
def test_as_many_files_as_there_can_be_are_counted_in_laps(verb, pages, files):
    machine = small_machine(nodes=1)
    getattr(machine, verb)(pages, files)

    moved = Item.PGPGIN if verb == "read_files" else Item.PGPGOUT
    assert machine.event(moved) == pytest.approx(pages * KBYTES_PER_PAGE, rel=0.01, abs=files)
    check(machine)
