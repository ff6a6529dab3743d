"""Long lives: a million operations in any order, and every page is still in one place."""

from contextlib import suppress
from random import Random

import pytest

from vmfs import boot, spec
from vmfs.mm import state
from vmfs.mm.alloc_request import OutOfMemory
from vmfs.mm.check import check
from vmfs.mm.hugetlbfs import NoHugePages
from vmfs.mm.machine import Machine
from vmfs.tree import Tree

LIVES = 4  # side by side where there are CPUs
OPERATIONS = 1_000_000 // LIVES
CHECKED_EVERY = 5_000
MOST_TASKS = 12
VM = "/proc/sys/vm"
WEIGHTS = {
    "wait": 150, "slab": 700, "read": 30, "write": 30, "start": 4, "stop": 4, "tune": 3, "pool": 2,
    "swapon": 1, "swapoff": 1, "drop": 1, "compact": 1,
}  # fmt: skip
"""How often each comes: what is cheap comes often, so that a million fit into a few minutes."""


class Life:
    """Random operations on one machine; the seed decides all of them."""

    def __init__(self, seed):
        self.random = Random(seed)
        self.tree = Tree(Machine.from_snapshot(boot.boot(spec.load("tiny", seed=seed))))
        self.verbs = [getattr(self, f"do_{name}") for name in WEIGHTS]
        self.swaps = 0

    @property
    def machine(self):
        return self.tree.machine

    def live(self, count):
        for verb in self.random.choices(self.verbs, list(WEIGHTS.values()), k=count):
            with suppress(OutOfMemory, NoHugePages):
                verb()

    def pages(self, most):
        """Mostly few."""
        return int(most ** (self.random.random() ** 2))

    def do_read(self):
        self.machine.read_files(self.pages(10_000), self.pages(100))

    def do_write(self):
        self.machine.write_files(self.pages(3_000), self.pages(50))

    def do_start(self):
        if len(self.machine.tasks) < MOST_TASKS:
            anon, file, shmem = (self.pages(most) for most in (40_000, 3_000, 1_000))
            grow = self.random.choice((0.0, 0.0, 0.5, 10.0))
            touch = self.random.choice((0.0, 0.0, 5.0, 500.0))
            mlock, thp = self.random.random() < 0.05, self.random.random() < 0.3
            huge = self.random.choice((0, 0, 0, 1, 5))
            self.machine.start(
                "task",
                anon=anon,
                file=file,
                shmem=shmem,
                huge=huge,
                mlock=mlock,
                thp=thp,
                grow=grow,
                touch=touch,
            )

    def do_stop(self):
        if self.machine.tasks:
            self.machine.stop(self.random.choice(list(self.machine.tasks.values())))

    def do_wait(self):
        self.machine.tick(self.random.choice((0.01, 0.1, 0.5, 1, 3)))

    def do_slab(self):
        cache = self.machine.slab_cache(self.random.choice(("dentry", "kmalloc-64", "radix_tree_node")))
        self.machine.slab_alloc(cache, self.random.randint(-80, 100))

    def do_swapon(self):
        if len(self.machine.swap_areas) < 3:
            self.swaps += 1
            self.machine.swapon(self.random.randint(10, 30_000), f"/swap{self.swaps}")

    def do_swapoff(self):
        if self.machine.swap_areas:
            self.machine.swapoff(self.random.choice(self.machine.swap_areas).name)

    def do_pool(self):
        self.tree.write(f"{VM}/nr_hugepages", str(self.random.randint(0, 60)))

    def do_drop(self):
        self.tree.write(f"{VM}/drop_caches", str(self.random.randint(1, 3)))

    def do_compact(self):
        self.tree.write(f"{VM}/compact_memory", "1")

    def do_tune(self):
        name, low, high = self.random.choice(
            (
                ("min_free_kbytes", 1_000, 40_000),
                ("swappiness", 0, 200),
                ("dirty_ratio", 1, 60),
                ("watermark_scale_factor", 1, 300),
                ("compaction_proactiveness", 0, 100),
                ("overcommit_memory", 0, 1),
                ("percpu_pagelist_high_fraction", 8, 64),
            )
        )
        self.tree.write(f"{VM}/{name}", str(self.random.randint(low, high)))


def agreed(tree):
    """The free pages, which every file tells alike."""
    meminfo = int(tree.read("/proc/meminfo").split("MemFree:")[1].split()[0]) // 4
    rows = (line.split("zone")[1].split()[1:] for line in tree.read("/proc/buddyinfo").splitlines())
    assert sum(int(count) << order for row in rows for order, count in enumerate(row)) == meminfo
    assert f"nr_free_pages {meminfo}\n" in tree.read("/proc/vmstat")


@pytest.mark.parametrize("seed", range(3))
def test_a_short_life(seed):
    life = Life(seed)
    for _ in range(4):
        life.live(300)
        check(life.machine)
        agreed(life.tree)


def test_a_life_interrupted_by_saving_is_the_same():
    cut, whole = Life(5), Life(5)
    for _ in range(5):
        whole.live(100)
        cut.live(100)
        cut.tree.replace(state.load(cut.machine.save()))

    assert cut.tree.read("/proc/vmstat") == whole.tree.read("/proc/vmstat")
    assert cut.tree.read("/proc/buddyinfo") == whole.tree.read("/proc/buddyinfo")


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("seed", range(1, 1 + LIVES))
def test_a_million_operations(seed):
    life = Life(seed)
    for _ in range(OPERATIONS // CHECKED_EVERY):
        life.live(CHECKED_EVERY)
        check(life.machine)
        agreed(life.tree)
        if life.random.random() < 0.1:
            life.tree.replace(state.load(life.machine.save()))
