"""After all is stopped, dropped and switched off again, nothing is left of it."""

import pytest

from vmfs import boot, spec
from vmfs.mm.check import check
from vmfs.mm.hugetlbfs import HugetlbFile
from vmfs.mm.machine import Machine
from vmfs.mm.vmstat import Item

ITEMS = (
    Item.NR_FILE_PAGES,
    Item.NR_ANON_PAGES,
    Item.NR_SHMEM,
    Item.NR_MAPPED,
    Item.NR_MLOCK,
    Item.NR_UNEVICTABLE,
    Item.NR_DIRTY,
    Item.NR_KERNEL_STACK,
    Item.NR_ANON_TRANSPARENT_HUGEPAGES,
)


def settled(machine):
    machine.tick(100)
    machine.drop_caches(3)
    machine.drop_caches(3)
    return machine


def account(machine):
    free = machine.free_pages + sum(zone.pageset.total for _, zone in machine.zones())
    slab = sum(pages.pages for _, zone in machine.zones() for pages in zone.slab.values())
    counts = {item.text: machine.global_page_state(item) for item in ITEMS}
    objects = {cache.name: cache.active_objs for cache in machine.slab_caches}
    return counts | objects | {"free and slab": free + slab, "committed": machine.committed_as}


def live(machine):
    total = machine.totalram_pages
    machine.swapon(total // 2, "/swap")
    machine.read_files(total // 3, 3_000)
    machine.write_files(total // 5, 10)
    machine.start("hog", anon=total, shmem=500, file=800)
    machine.start("locked", anon=300, file=50, mlock=True)
    machine.start("huge", anon=5_000, thp=True)
    machine.read_files(3 * total, 5)
    machine.set_nr_hugepages(machine.default_hstate, 20)
    file = HugetlbFile.create(machine.default_hstate)
    nid = machine.default_nid
    file.reserve(machine, 0, 1, [nid])
    file.fault(machine, 0, 1, [nid])
    machine.tick(70)


@pytest.mark.parametrize("release", ["5.10", "6.1", "6.12", "7.2"])
def test_nothing_is_left(release):
    machine = settled(Machine.from_snapshot(boot.boot(spec.load("tiny", kernel=release))))
    before = account(machine)
    live(machine)
    for task in list(machine.tasks.values()):
        machine.stop(task)
    for file in list(machine.default_hstate.files):
        file.release(machine)
    machine.set_nr_hugepages(machine.default_hstate, 0)
    machine.swapoff("/swap")

    assert account(settled(machine)) == before
    check(machine)
