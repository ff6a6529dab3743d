"""Any calls and writes in any order: the invariants hold after each, and all files agree."""

import re
from contextlib import suppress
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from vmfs import boot, spec
from vmfs.mm import state
from vmfs.mm.alloc_request import OutOfMemory
from vmfs.mm.check import check
from vmfs.mm.hugetlbfs import NoHugePages
from vmfs.mm.machine import Machine
from vmfs.mm.mempolicy import BIND, INTERLEAVE, PREFERRED
from vmfs.tree import Tree

RELEASES = ("5.10", "6.1", "6.12", "7.2")
MACHINES = tuple(
    str(p) for p in (Path(__file__).parent / "machines").glob("*-6.1.toml") if "i386" not in p.name
)
VM = "/proc/sys/vm"
WRITES = {
    f"{VM}/min_free_kbytes": st.integers(0, 400_000),
    f"{VM}/watermark_scale_factor": st.integers(1, 1000),
    f"{VM}/swappiness": st.integers(0, 200),
    f"{VM}/zone_reclaim_mode": st.integers(0, 7),
    f"{VM}/min_slab_ratio": st.integers(0, 100),
    f"{VM}/nr_hugepages": st.integers(0, 20_000),
    f"{VM}/nr_overcommit_hugepages": st.integers(0, 100),
    f"{VM}/overcommit_memory": st.integers(0, 2),
    f"{VM}/oom_kill_allocating_task": st.integers(0, 1),
    f"{VM}/page-cluster": st.integers(0, 8),
    f"{VM}/watermark_boost_factor": st.integers(0, 30_000),
    f"{VM}/compaction_proactiveness": st.integers(0, 100),
    "/sys/kernel/mm/lru_gen/enabled": st.integers(0, 7),
    "/sys/kernel/mm/transparent_hugepage/enabled": st.sampled_from(["always", "madvise", "never"]),
    f"{VM}/dirty_bytes": st.integers(8192, 1 << 30),
    f"{VM}/dirty_ratio": st.integers(0, 100),
    f"{VM}/drop_caches": st.integers(1, 3),
    f"{VM}/compact_memory": st.just(1),
    "/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages": st.integers(0, 4),
    "/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages": st.integers(0, 5_000),
}
KINDS = st.sampled_from(
    [
        lambda pages: {"anon": pages},
        lambda pages: {"anon": pages, "thp": True},
        lambda pages: {"anon": pages // 4, "file": pages // 4, "shmem": pages // 4, "mlock": True},
        lambda pages: {"anon": pages // 10, "shmem": pages // 10, "huge": pages // 512 // 4},
        lambda pages: {"anon": pages // 100, "grow": pages / 100},
        lambda pages: {"file": pages // 1000, "grow": 0.7, "thp": True},
        lambda pages: {"anon": pages, "shmem": pages // 10, "touch": pages / 10},
    ]
)
"""Of so many pages: small and huge ones, of each kind, locked, growing by as much as they begin with,
and those that use all again."""

PLACED = st.sampled_from(
    [{}, {"nid": -1}, {"nid": -1, "policy": BIND}, {"nid": 0, "policy": PREFERRED}, {"policy": INTERLEAVE}]
)
BAD = ("", "abc", "-1", "99999999999999999999999", "1 2 3", "\0", "0x", " ")


def numbers(pattern, text):
    return [int(n) for n in re.findall(pattern, text, re.MULTILINE)]


def buddy_pages(text):
    rows = (line.split("zone")[1].split()[1:] for line in text.splitlines())
    return sum(int(count) << order for row in rows for order, count in enumerate(row))


class AnyOrder(RuleBasedStateMachine):
    @initialize(name=st.sampled_from(MACHINES), release=st.sampled_from(RELEASES), seed=st.integers(0, 3))
    def boots(self, name, release, seed):
        described = spec.load(name, kernel=release, seed=seed)
        self.machine = Machine.from_snapshot(boot.boot(described))
        self.tree = Tree(self.machine)
        self.past_events = {}

    def attempt(self, call, *args, **kwargs):
        with suppress(OutOfMemory):  # refused: the invariants must hold all the same
            call(*args, **kwargs)

    @rule(percent=st.integers(0, 150), files=st.integers(1, 20_000))
    def reads(self, percent, files):
        self.attempt(self.machine.read_files, self.machine.totalram_pages * percent // 100 + files, files)

    @rule(percent=st.integers(0, 60), files=st.integers(1, 500))
    def writes_files(self, percent, files):
        self.attempt(self.machine.write_files, self.machine.totalram_pages * percent // 100 + files, files)

    @rule(percent=st.integers(0, 130), of=KINDS, placed=PLACED, adj=st.sampled_from([0, -1000, 500]))
    def starts(self, percent, of, placed, adj):
        pages = self.machine.totalram_pages * percent // 100
        where = dict(placed)
        if "nid" in where:
            where["nid"] = self.machine.nodes[where["nid"]].nid
        with suppress(NoHugePages):
            self.attempt(self.machine.start, "task", oom_score_adj=adj, **where, **of(pages))

    @rule()
    def is_asked_to_kill(self):
        self.machine.oom()

    @rule(pick=st.integers(0, 9))
    def stops(self, pick):
        tasks = list(self.machine.tasks.values())
        if tasks:
            self.machine.stop(tasks[pick % len(tasks)])

    @rule(name=st.sampled_from(["dentry", "kmalloc-64", "kmalloc-8k"]), count=st.integers(-50_000, 50_000))
    def allocates_objects(self, name, count):
        cache = self.machine.slab_cache(name)
        self.attempt(self.machine.slab_alloc, cache, max(count, -cache.active_objs))

    @rule(keep=st.floats(0, 1))
    def fragments(self, keep):
        self.machine.fragment(keep)

    @rule(mebibytes=st.integers(1, 2048))
    def swaps_on(self, mebibytes):
        self.machine.swapon(mebibytes << 8, f"/swap{len(self.machine.swap_areas)}", "file")

    @rule()
    def swaps_off(self):
        if self.machine.swap_areas:
            self.attempt(self.machine.swapoff, self.machine.swap_areas[-1].name)

    @rule(seconds=st.floats(0, 100))
    def waits(self, seconds):
        self.machine.tick(seconds)

    @rule(data=st.data())
    def writes(self, data):
        path = data.draw(st.sampled_from(sorted(WRITES)))
        text = data.draw(WRITES[path].map(str) | st.sampled_from(BAD))
        before = self.readable(path)
        try:
            self.tree.write(path, text)
        except OSError:
            assert self.readable(path) == before

    def readable(self, path):
        try:
            return self.tree.read(path)
        except OSError:
            return None

    @rule()
    def is_saved_and_loaded(self):
        self.machine = state.load(self.machine.save())
        self.tree = Tree(self.machine)

    @invariant()
    def every_page_is_in_one_place(self):
        check(self.machine)

    @invariant()
    def all_files_tell_the_same_free_memory(self):
        free = numbers(r"^MemFree: +(\d+) kB$", self.tree.read("/proc/meminfo"))[0] // 4
        nodes = [f"/sys/devices/system/node/node{node.nid}/meminfo" for node in self.machine.nodes]

        assert sum(numbers(r"^  pages free +(\d+)$", self.tree.read("/proc/zoneinfo"))) == free
        assert numbers(r"^nr_free_pages (\d+)$", self.tree.read("/proc/vmstat")) == [free]
        assert buddy_pages(self.tree.read("/proc/buddyinfo")) == free
        assert sum(numbers(r"MemFree: +(\d+) kB$", self.tree.read(p))[0] // 4 for p in nodes) == free

    @invariant()
    def events_never_fall(self):
        lines = (line.split() for line in self.tree.read("/proc/vmstat").splitlines())
        events = {
            name: int(count) for name, count in lines if name.startswith(("pg", "drop", "oom", "compact"))
        }
        for name, count in self.past_events.items():
            assert events[name] >= count, name
        self.past_events = events


AnyOrder.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestAnyOrder = AnyOrder.TestCase
