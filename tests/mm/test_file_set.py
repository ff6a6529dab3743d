"""The same files read again: used again while they are cached, read from disk where they are not."""

import pytest

from tests import recordings
from tests.small_machine import NODE_PAGES, small_machine
from vmfs import boot, capture, control, spec
from vmfs.mm import state
from vmfs.mm.check import check
from vmfs.mm.machine import Machine
from vmfs.mm.vmstat import Item
from vmfs.tree import Tree

PAGES = 20_000


def booted(release):
    return Machine.from_snapshot(boot.boot(spec.load("tiny", kernel=".".join(map(str, release)))))


def cached(machine):
    inactive, active = (
        machine.global_page_state(item) for item in (Item.NR_INACTIVE_FILE, Item.NR_ACTIVE_FILE)
    )
    return inactive, active


def read_twice(release):
    machine = small_machine(release, nodes=1)
    machine.set_sysctl("min_free_kbytes", 16384)
    for _ in range(2):
        machine.read_files(PAGES, 0, name="big")
    return machine


@pytest.mark.parametrize("release", [(5, 10), (6, 1)])
def test_a_page_that_is_read_twice_becomes_active(release):
    machine = read_twice(release)

    assert cached(machine) == (0, PAGES)
    assert machine.event(Item.PGACTIVATE) == PAGES
    assert machine.event(Item.PGPGIN) == PAGES * 4
    machine.read_files(PAGES, 0, name="big")
    assert machine.event(Item.PGACTIVATE) == PAGES
    check(machine)


@pytest.mark.parametrize("release", [(6, 12), (7, 2)])
def test_with_generations_it_stays_where_it_is(release):
    machine = read_twice(release)

    assert cached(machine) == (PAGES, 0)
    assert machine.event(Item.PGPGIN) == PAGES * 4


def test_files_without_a_name_are_others_every_time():
    machine = small_machine(nodes=1)
    for _ in range(2):
        machine.read_files(PAGES, 0)

    assert cached(machine) == (2 * PAGES, 0)


def test_what_was_dropped_is_read_from_disk():
    machine = read_twice((6, 1))
    machine.drop_caches(1)
    machine.read_files(PAGES, 0, name="big")

    assert cached(machine) == (PAGES, 0)
    assert machine.event(Item.PGPGIN) == 2 * PAGES * 4


def test_what_was_reclaimed_is_read_from_disk_and_the_rest_is_activated():
    machine = small_machine((6, 1), nodes=1)
    machine.set_sysctl("min_free_kbytes", 16384)
    machine.read_files(PAGES, 0, name="first")
    machine.read_files(NODE_PAGES - PAGES, 0, name="second")
    left = sum(cached(machine))
    before = machine.event(Item.PGPGIN)
    machine.read_files(NODE_PAGES - PAGES, 0, name="second")

    lost = (machine.event(Item.PGPGIN) - before) // 4
    assert 0 < left <= NODE_PAGES
    assert machine.event(Item.PGACTIVATE) == NODE_PAGES - PAGES - lost
    check(machine)


def test_part_of_the_files_activates_that_part():
    machine = small_machine((6, 1), nodes=1)
    machine.read_files(PAGES, 0, name="big")
    machine.read_files(1000, 0, name="big")

    assert cached(machine) == (PAGES - 1000, 1000)


def test_more_of_the_files_is_read_once():
    machine = small_machine((6, 12), nodes=1)
    machine.read_files(1000, 0, name="big")
    machine.read_files(PAGES, 0, name="big")

    assert cached(machine) == (PAGES, 0)
    assert machine.event(Item.PGPGIN) == PAGES * 4


def test_a_control_line_names_them():
    machine = small_machine((6, 1), nodes=1)
    tree = Tree(machine)
    for _ in range(2):
        control.run(tree, "read 40M files=0 name=logs")

    assert cached(machine) == (0, 10 << 10)


def test_machines_with_named_files_are_saved():
    machine = read_twice((6, 1))

    again = state.load(machine.save())
    again.read_files(PAGES, 0, name="big")
    assert again.event(Item.PGPGIN) == machine.event(Item.PGPGIN)


def objects(machine):
    return {name: machine.slab_cache(name).active_objs for name in ("dentry", "ext4_inode_cache")}


@pytest.mark.parametrize("release", [(5, 10), (6, 1), (6, 12), (7, 2)])
def test_names_are_looked_up_again_when_they_were_dropped(release):
    machine = booted(release)
    before = objects(machine)
    machine.read_files(10_000, 10_000, name="small")
    opened = objects(machine)
    machine.read_files(10_000, 10_000, name="small")
    assert objects(machine) == opened

    machine.drop_caches(3)
    assert objects(machine)["dentry"] <= before["dentry"]
    machine.read_files(10_000, 10_000, name="small")
    assert objects(machine)["dentry"] - before["dentry"] == pytest.approx(10_040, abs=50)
    assert machine.vfs.unused_inodes >= 10_040
    check(machine)


@pytest.mark.parametrize(("release", "left"), [((5, 10), 0), ((6, 1), 10_000), ((6, 12), 10_000)])
def test_inodes_that_were_read_again_go_with_their_pages_until_5_14(release, left):
    machine = booted(release)
    before = sum(cached(machine))
    machine.read_files(10_000, 10_000, name="small")
    machine.drop_caches(1)
    machine.read_files(10_000, 10_000, name="small")
    machine.drop_caches(2)

    assert sum(cached(machine)) == pytest.approx(before + left, abs=before + 100)


def refaults(machine):
    return machine.global_page_state(Item.WORKINGSET_REFAULT_FILE)


def named_pages(machine):
    queues = (queue for _, zone in machine.zones() for queue in zone.lru.lists)
    return sum(batch.pages for queue in queues for batch in queue if batch.files)


def test_what_was_reclaimed_comes_back_as_refaults_and_what_was_dropped_does_not():
    machine = small_machine((6, 1), nodes=1)
    machine.set_sysctl("min_free_kbytes", 16384)
    machine.read_files(PAGES, 0, name="big")
    machine.read_files(NODE_PAGES, 0)
    lost = PAGES - named_pages(machine)

    assert lost > 0
    assert refaults(machine) == 0
    machine.read_files(PAGES, 0, name="big")
    assert refaults(machine) == lost
    machine.drop_caches(1)
    machine.read_files(PAGES, 0, name="big")
    assert refaults(machine) == lost
    check(machine)


def huge(machine):
    return machine.global_page_state(Item.NR_FILE_HUGEPAGES)


def test_large_files_are_cached_in_huge_folios_since_7_2():
    machine = small_machine((7, 2), nodes=1)
    machine.read_files(6 * 16384, 6)
    assert huge(machine) == 6 * (16384 - 4096)  # as recorded of files of 64 MiB
    machine.read_files(10 * 4096, 10)
    assert huge(machine) == 6 * (16384 - 4096)
    machine.drop_caches(1)
    assert huge(machine) == 0

    old = small_machine((6, 12), nodes=1)
    old.read_files(6 * 16384, 6)
    assert huge(old) == 0


def test_huge_folios_go_with_what_is_reclaimed():
    machine = small_machine((7, 2), nodes=1)
    machine.set_sysctl("min_free_kbytes", 16384)
    machine.read_files(6 * 16384, 6)
    machine.read_files(3 * NODE_PAGES, 0)
    machine.read_files(100_000, 100_000)

    assert 0 < huge(machine) < sum(cached(machine))
    machine.drop_caches(1)
    assert huge(machine) == 0
    check(machine)


def test_a_capture_keeps_its_huge_folios():
    step = next(s for s in recordings.steps(recordings.load("latest-7.2")) if s.name.startswith("23"))
    machine = capture.load(step)[0]
    assert huge(machine) == 73728
    assert "nr_file_hugepages 144\n" in Tree(machine).read("/proc/vmstat")
    machine.drop_caches(1)
    assert huge(machine) == 0


def reclaimed(release, used=0, swap=False):
    """Files of which reclaim took half, beside others that were read twice."""
    machine = small_machine(release, nodes=1)
    if swap:
        machine.swapon(PAGES, "/swap")
    for _ in range(2):
        machine.read_files(used, 0, name="used")
    machine.read_files(PAGES, 0, name="lost")
    machine.reclaim_node(0, PAGES // 2, swappiness=0)
    return machine


@pytest.mark.parametrize(
    ("release", "active"), [((5, 10), PAGES // 2), ((6, 1), PAGES // 2), ((6, 12), 0), ((7, 2), 0)]
)
def test_what_was_gone_for_a_short_while_is_active_at_once(release, active):
    machine = reclaimed(release, used=PAGES if release < (6, 12) else 0)
    before = machine.global_page_state(Item.NR_ACTIVE_FILE), machine.event(Item.PGACTIVATE)
    machine.read_files(PAGES // 2, 0, name="lost")

    assert machine.global_page_state(Item.WORKINGSET_REFAULT_FILE) == PAGES // 2
    assert machine.global_page_state(Item.NR_ACTIVE_FILE) == before[0] + active
    assert machine.event(Item.PGACTIVATE) == before[1]  # a refault is no activation of a page
    activated = PAGES // 2 if release != (7, 2) else 0
    assert machine.global_page_state(Item.WORKINGSET_ACTIVATE_FILE) == activated
    assert machine.global_page_state(Item.WORKINGSET_RESTORE_FILE) == 0
    check(machine)


@pytest.mark.parametrize("used", [0, PAGES // 4, PAGES // 2, PAGES])
def test_only_what_fits_beside_what_is_in_use_is_activated(used):
    machine = reclaimed((6, 1), used)
    machine.read_files(PAGES // 2, 0, name="lost")

    assert machine.global_page_state(Item.WORKINGSET_ACTIVATE_FILE) == min(used, PAGES // 2)


def test_anonymous_pages_count_as_in_use_where_there_is_swap():
    counts = []
    for swap in (False, True):
        machine = reclaimed((6, 1), swap=swap)
        machine.start("task", anon=PAGES)
        machine.read_files(PAGES // 2, 0, name="lost")
        counts.append(machine.global_page_state(Item.WORKINGSET_ACTIVATE_FILE))
        check(machine)

    assert counts == [0, PAGES // 2]


@pytest.mark.parametrize(("release", "restored"), [((5, 10), True), ((6, 1), True), ((6, 12), False)])
def test_what_was_active_before_it_went_is_restored(release, restored):
    machine = reclaimed(release, used=PAGES)
    for _ in range(16):
        machine.reclaim_node(0, PAGES // 20, swappiness=0)
    lost = PAGES - sum(batch.pages for batch in batches_of(machine, "used"))
    assert lost > 0
    machine.read_files(PAGES, 0, name="used")

    activated = machine.global_page_state(Item.WORKINGSET_ACTIVATE_FILE)
    assert machine.global_page_state(Item.WORKINGSET_REFAULT_FILE) == lost
    assert machine.global_page_state(Item.WORKINGSET_RESTORE_FILE) == (activated if restored else 0)
    assert activated > 0
    check(machine)


def batches_of(machine, name):
    known = machine.vfs.file_sets[name]
    queues = (queue for _, zone in machine.zones() for queue in zone.lru.lists)
    return [batch for queue in queues for batch in queue if batch.files is known]
