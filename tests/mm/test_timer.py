"""What happens as time passes, and that it does not matter how the time was cut."""

import time
from pathlib import Path

import pytest

from vmfs import boot, spec
from vmfs.mm import growth, state
from vmfs.mm.check import check
from vmfs.mm.lru import Lru
from vmfs.mm.machine import Machine
from vmfs.mm.vmstat import Item
from vmfs.tree import Tree

BIG = str(Path(__file__).parent.parent / "machines/big-256g-6.12.toml")
FILES = ("proc/buddyinfo", "proc/meminfo", "proc/pagetypeinfo", "proc/vmstat", "proc/zoneinfo", "vmfs/status")


def booted(name="article", **options):
    return Machine.from_snapshot(boot.boot(spec.load(name, **options)))


@pytest.fixture
def machine():
    return booted()


def busy():
    """A machine on which everything has something to do."""
    machine = booted()
    for i in range(6):
        machine.start(f"leak{i}", anon=1000 * i, nid=i % 2, grow=3.7 * (i + 1), thp=i == 5)
    machine.start("spread", anon=100, policy="interleave", grow=1.5)
    machine.fragment(0.5, nid=1)
    machine.read_files(3_000_000, 1000)
    machine.write_files(5000)
    return machine


def texts(machine):
    tree = Tree(machine)
    return {name: tree.read(f"/{name}") for name in FILES}


def waited(machine, *ticks):
    for seconds in ticks:
        machine.tick(seconds)
    return machine


def test_how_time_is_cut_does_not_matter():
    whole = texts(waited(busy(), 90))

    assert texts(waited(busy(), *[1] * 90)) == whole
    assert texts(waited(busy(), *[0.3, 0.7] * 90)) == whole
    assert texts(waited(busy(), *[0.01] * 9000)) == whole


def test_looking_does_not_matter():
    watched = busy()
    for _ in range(90):
        watched.tick(1)
        texts(watched)

    assert texts(watched) == texts(waited(busy(), 90))
    check(watched)


def test_growth_counted_together_is_growth_one_by_one(monkeypatch):
    together = waited(busy(), 60)
    monkeypatch.setattr(growth, "_joins", lambda _: False)
    alone = waited(busy(), 60)

    for item in (Item.NR_ANON_PAGES, Item.NR_PAGE_TABLE_PAGES, Item.PGFAULT, Item.NR_INACTIVE_ANON):
        assert together.global_page_state(item) == alone.global_page_state(item), item
    assert together.committed_as == alone.committed_as
    held = sum(zone.pageset.total for _, zone in alone.zones())
    held -= sum(zone.pageset.total for _, zone in together.zones())
    assert together.free_pages == alone.free_pages + held
    for one, other in zip(together.tasks.values(), alone.tasks.values(), strict=True):
        assert (one.anon, one.page_tables) == (other.anon, other.page_tables)
    check(together)
    check(alone)


def test_growth_ends_where_it_began_when_the_tasks_go(machine):
    before = machine.free_pages, machine.committed_as
    tasks = [machine.start(f"t{i}", anon=100, grow=1000.0) for i in range(3)]
    machine.tick(100)
    for task in tasks:
        machine.stop(task)

    held = sum(zone.pageset.total for _, zone in machine.zones())
    assert machine.committed_as == before[1]
    assert before[0] - machine.free_pages <= held + 100  # what the slab caches kept
    check(machine)


def test_a_growing_machine_is_saved_whole():
    saved = waited(busy(), 30)
    loaded = state.load(saved.save())

    assert texts(waited(loaded, 30)) == texts(waited(busy(), 60))


def test_dirty_pages_are_written_when_they_expire(machine):
    machine.write_files(1000)
    machine.tick(20)
    machine.write_files(300)
    assert machine.global_page_state(Item.NR_DIRTY) == 1300

    machine.tick(15)
    assert machine.global_page_state(Item.NR_DIRTY) == 300
    machine.tick(20)
    assert machine.global_page_state(Item.NR_DIRTY) == 0


def test_without_a_writeback_interval_dirty_pages_stay(machine):
    machine.set_sysctl("dirty_writeback_centisecs", 0)
    machine.write_files(1000)
    machine.tick(3600)
    assert machine.global_page_state(Item.NR_DIRTY) == 1000

    machine.set_sysctl("dirty_writeback_centisecs", 500)
    machine.tick(1)
    assert machine.global_page_state(Item.NR_DIRTY) == 0


def test_a_lowered_background_limit_is_met_at_the_next_wake(machine):
    machine.write_files(10_000)
    machine.set_sysctl("dirty_background_bytes", 4096 * 4000)
    machine.tick(6)

    assert machine.global_page_state(Item.NR_DIRTY) == 4000


def test_kcompactd_follows_proactiveness():
    moved = {}
    for proactiveness in (0, 100):
        machine = booted()
        machine.set_sysctl("compaction_proactiveness", proactiveness)
        machine.fragment(0.8)
        machine.read_files(100_000, 1000)
        assert machine.event(Item.COMPACT_MIGRATE_SCANNED) == 0
        before = machine.event(Item.PGMIGRATE_SUCCESS)
        machine.tick(120)
        moved[proactiveness] = machine.event(Item.COMPACT_MIGRATE_SCANNED)
        assert machine.event(Item.COMPACT_DAEMON_MIGRATE_SCANNED) == moved[proactiveness]
        assert machine.event(Item.COMPACT_DAEMON_FREE_SCANNED) == machine.event(Item.COMPACT_FREE_SCANNED)
        assert machine.event(Item.PGMIGRATE_SUCCESS) >= before
        check(machine)

    assert moved[0] == 0
    assert moved[100] > 0


def test_lists_of_remote_cpus_are_drained_after_three_seconds(machine):
    machine.start("spilled", anon=machine.nodes[1].managed_pages + 10_000, nid=1)
    zone = machine.nodes[0].zones[2]
    remote = machine.cpu_of(1)
    held = zone.pageset.count(remote)

    machine.tick(2)
    assert zone.pageset.count(remote) == held
    machine.tick(600)
    assert remote not in zone.pageset.lists
    check(machine)


def test_khugepaged_collapses_what_came_small(machine):
    task = machine.start("heap", anon=2048, thp=True, grow=100.0)
    faulted = task.thp
    machine.tick(60)

    assert task.thp > faulted
    collapsed = machine.thp.khugepaged.pages_collapsed
    assert task.thp == faulted + 512 * collapsed
    assert machine.event(Item.THP_COLLAPSE_ALLOC) == collapsed
    assert machine.global_page_state(Item.NR_ANON_TRANSPARENT_HUGEPAGES) == task.thp
    check(machine)


def test_khugepaged_rests_where_huge_pages_are_off(machine):
    task = machine.start("heap", anon=100, thp=True, grow=100.0)
    machine.set_attribute(machine.thp, "enabled", "never")
    machine.tick(60)

    assert task.thp == machine.thp.khugepaged.pages_collapsed == 0


def test_kswapd_tries_again_until_it_gives_up(machine):
    machine.start("hog", anon=machine.free_pages - 60_000, mlock=True)
    machine.set_sysctl("min_free_kbytes", 1 << 20)
    machine.tick(60)

    failures = [node.kswapd_failures for node in machine.nodes]
    assert max(failures) == 16
    lists = [zone.lru_pages(which) for _, zone in machine.zones() for which in (Lru.INACTIVE_FILE,)]
    assert sum(lists) == 0


def test_idle_time_costs_nothing(machine):
    start = time.process_time()
    machine.tick(10**9)

    assert time.process_time() - start < 1
    assert machine.clock.microsecs >= 10**15


def test_a_day_of_fifty_tasks():
    """The goal is 20 s a day on one core; a test machine may be three times as slow."""
    machine = booted(BIG)
    for i in range(50):
        machine.start(f"task{i}", anon=10_000, nid=i % 2, grow=5.0 + i % 7)
    start = time.process_time()
    for _ in range(4_320):
        machine.tick(1)

    assert time.process_time() - start < 3 * 20 / 20
    assert [task.anon for task in machine.tasks.values()][:2] == [10_000 + 4_320 * 5, 10_000 + 4_320 * 6]
