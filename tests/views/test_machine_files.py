"""Files that follow the clock, that take writes, and that must stay cheap on a huge machine."""

import errno
import os
import re
import time

import pytest

from tests import recordings
from vmfs import capture, spec
from vmfs.kernel import Kernel
from vmfs.mm.machine import Machine
from vmfs.mm.mmzone import MAX_PAGE_ORDER, MigrateType, zone_names
from vmfs.mm.snapshot import Hardware, HugePageState, NodeState, Snapshot, ZoneState
from vmfs.mm.vmstat import Item
from vmfs.tree import Tree
from vmfs.tree.boot import booted
from vmfs.tree.policy import Caller
from vmfs.views.proc.zoneinfo import zoneinfo

TIB_PAGES = 1 << 28
MEMORY = "/sys/devices/system/memory"


@pytest.fixture
def tree():
    machine, _ = capture.load(recordings.steps(recordings.load("latest-7.2"))[0])
    return Tree(machine)


def normal_zone(start: int, pages: int) -> ZoneState:
    zone = ZoneState("Normal", start, pages, pages, pages - pages // 64)
    zone.free[MigrateType.MOVABLE][MAX_PAGE_ORDER] = (pages * 9 // 10) >> MAX_PAGE_ORDER
    zone.pageblocks = {MigrateType.MOVABLE: pages >> 9}
    return zone


@pytest.fixture(scope="module")
def huge():
    """16 nodes, 64 TiB, 1024 CPUs."""
    kernel, pages = Kernel.of((7, 2)), 4 * TIB_PAGES
    nodes = []
    for nid in range(16):
        zones = [
            normal_zone(nid * pages, pages) if name == "Normal" else ZoneState(name)
            for name in zone_names(kernel)
        ]
        nodes.append(NodeState(nid, tuple(range(nid * 64, nid * 64 + 64)), (10,) * 16, zones))
    cpus = tuple(range(1024))
    hardware = Hardware(1024, cpus, cpus, memory_block_bytes=2 << 30)
    sysctl = {"lowmem_reserve_ratio": [256, 256, 32, 0, 0]}
    return Machine.from_snapshot(
        Snapshot(kernel, "huge", 0, hardware, nodes, [], [HugePageState(2048)], 2048, sysctl=sysctl)
    )


def test_zoneinfo_of_a_huge_machine_is_cheap(huge):
    started = time.perf_counter()
    text = zoneinfo(huge)
    assert time.perf_counter() - started < 0.2
    assert text.count("    cpu: ") == 16 * 1024
    assert text.count("  start_pfn: ") == 16


def test_memory_blocks_of_a_huge_machine(huge):
    tree = Tree(huge)
    blocks = [name for name in tree.listdir(MEMORY) if re.fullmatch(r"memory\d+", name)]
    assert len(blocks) == 32768
    assert tree.read(f"{MEMORY}/block_size_bytes") == "80000000\n"
    assert tree.read(f"{MEMORY}/memory32767/phys_index") == "00007fff\n"
    assert tree.read(f"{MEMORY}/memory32767/valid_zones") == "Normal\n"
    assert tree.readlink(f"{MEMORY}/memory32767/node15") == "../../node/node15"
    assert tree.readlink("/sys/devices/system/node/node15/memory32767") == "../../memory/memory32767"
    assert "memory0" not in tree.listdir("/sys/devices/system/node/node15")


def test_cpumap_of_a_huge_machine(huge):
    groups = Tree(huge).read("/sys/devices/system/node/node1/cpumap").strip().split(",")
    assert len(groups) == 32
    assert [i for i, group in enumerate(reversed(groups)) if group == "ffffffff"] == [2, 3]


def test_time_passes_idle(tree):
    def idle(text: str) -> dict[str, int]:
        return {line.split()[0]: int(line.split()[4]) for line in text.splitlines() if line.startswith("cpu")}

    before, up = idle(tree.read("/proc/stat")), tree.read("/proc/uptime").split()
    load = float(tree.read("/proc/loadavg").split()[0])
    tree.machine.tick(60)
    after, later = idle(tree.read("/proc/stat")), tree.read("/proc/uptime").split()
    assert {key: after[key] - before[key] for key in before} == {
        "cpu": 24000,
        "cpu0": 6000,
        "cpu1": 6000,
        "cpu2": 6000,
        "cpu3": 6000,
    }
    assert [round(float(b) - float(a), 2) for a, b in zip(up, later, strict=True)] == [60, 240]
    assert float(tree.read("/proc/loadavg").split()[0]) == pytest.approx(load / 2.718, abs=0.01)


def test_a_started_task_is_counted(tree):
    threads = int(tree.read("/proc/loadavg").split()[3].split("/")[1])
    processes = int(re.search(r"processes (\d+)", tree.read("/proc/stat"))[1])
    task = tree.machine.start("worker", anon=100)
    assert tree.read("/proc/loadavg").split()[3:] == [f"1/{threads + 1}", str(task.pid)]
    assert f"processes {processes + 1}\n" in tree.read("/proc/stat")


def test_pressure_falls_and_its_total_stays(tree):
    before = tree.read("/proc/pressure/cpu").splitlines()[0]
    tree.machine.tick(30)
    after = tree.read("/proc/pressure/cpu").splitlines()[0]
    assert before.split()[-1] == after.split()[-1]
    assert float(after.split()[1].split("=")[1]) < float(before.split()[1].split("=")[1]) / 10


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("some 150000 1000000\n", 0),
        ("full 1 500000\n", 0),
        ("some\t1 10000000\0", 0),
        ("some 150000 1000000", errno.EINVAL),  # the last byte counts for nothing: a window of 100000
        ("some 0 1000000\n", errno.EINVAL),
        ("some 1000001 1000000\n", errno.EINVAL),
        ("some 1000 10000001\n", errno.EINVAL),
        ("most 1000 1000000\n", errno.EINVAL),
        (" some 1000 1000000\n", errno.EINVAL),
        ("some 150000\n", errno.EINVAL),
        ("some 1500001000000\n", errno.EINVAL),
        ("some +1000 1000000\n", errno.EINVAL),
    ],
)
def test_pressure_triggers_are_checked(tree, text, error):
    assert failure(tree, "/proc/pressure/memory", text) == error


@pytest.mark.parametrize(
    ("release", "root", "file", "text", "opened", "written"),
    [
        ("5.10", True, "cpu", "full 1000 1000000\n", 0, errno.EINVAL),  # there is none yet
        ("5.10", True, "cpu", "some 1000 1000000\n", 0, 0),
        ("5.10", True, "memory", "full 1000 1000000\n", 0, 0),
        ("5.10", False, "memory", "", errno.EACCES, 0),
        ("6.1", True, "cpu", "full 1000 1000000\n", 0, 0),
        ("6.1", True, "memory", "some 1000 499999\n", 0, errno.EINVAL),  # half a second at least
        ("6.1", False, "memory", "", errno.EPERM, 0),
        ("6.12", True, "memory", "some 1000 2000\n", 0, 0),
        ("6.12", True, "memory", "some 1000 0\n", 0, errno.EINVAL),
        ("6.12", False, "memory", "some 1000 1000000\n", 0, errno.EINVAL),  # multiples of two seconds
        ("6.12", False, "memory", "some 1000 2000000\n", 0, 0),
        ("7.2", False, "io", "full 1000 4000000\n", 0, 0),
    ],
)
def test_who_may_set_which_trigger_differs_by_release(release, root, file, text, opened, written):
    tree = booted(spec.load("tiny", kernel=release))
    caller = Caller(0 if root else 1000, 0 if root else 1000, root=root)

    def attempt(call):
        try:
            return call(), 0
        except OSError as refused:
            return None, refused.errno

    handle, error = attempt(lambda: tree.open(f"/proc/pressure/{file}", os.O_RDWR, caller))
    assert error == opened
    if handle is not None:
        assert attempt(lambda: handle.write(text.encode(), 0))[1] == written


@pytest.mark.parametrize(
    ("path", "text", "error"),
    [
        (f"{MEMORY}/auto_online_blocks", "online_movable\n", 0),
        (f"{MEMORY}/auto_online_blocks", "on", errno.EINVAL),
        (f"{MEMORY}/memory5/state", "online", errno.EINVAL),
        (f"{MEMORY}/memory5/state", "offline", errno.EBUSY),
        (f"{MEMORY}/memory5/state", "away", errno.EINVAL),
        (f"{MEMORY}/memory5/online", "1", 0),
        (f"{MEMORY}/memory5/online", "0", errno.EBUSY),
        ("/sys/devices/system/cpu/cpu1/online", "1", 0),
        ("/sys/devices/system/cpu/cpu1/online", "0", errno.EBUSY),
        ("/sys/devices/system/node/node0/uevent", "add", 0),
        ("/sys/devices/system/node/node0/uevent", "shout", errno.EINVAL),
        ("/sys/devices/system/node/node0/compact", "1", 0),
        ("/sys/devices/system/node/node0/reclaim", "1x", errno.EINVAL),
        ("/sys/devices/system/node/node0/reclaim", "4K swappiness=201", errno.EINVAL),
        ("/sys/kernel/slab/dentry/shrink", "1", 0),
        ("/sys/kernel/slab/dentry/shrink", "2", errno.EINVAL),
    ],
)
def test_writes(tree, path, text, error):
    assert failure(tree, path, text) == error


def failure(tree: Tree, path: str, text: str) -> int:
    try:
        tree.write(path, text)
    except OSError as raised:
        return raised.errno or -1
    return 0


def test_auto_online_blocks_keeps_what_was_written(tree):
    tree.write(f"{MEMORY}/auto_online_blocks", "online_kernel")
    assert tree.read(f"{MEMORY}/auto_online_blocks") == "online_kernel\n"


def test_node_reclaim_frees_page_cache(tree):
    machine = tree.machine
    machine.read_files(50_000, 100, 0)
    cached = machine.node(0).page_state(Item.NR_FILE_PAGES)
    tree.write("/sys/devices/system/node/node0/reclaim", "64M")
    assert machine.node(0).page_state(Item.NR_FILE_PAGES) <= cached - (64 << 20 >> 12)
    stolen = machine.node(0).page_state(Item.PGSTEAL_PROACTIVE)
    assert 0 < stolen == machine.node(0).page_state(Item.PGSCAN_PROACTIVE)
    assert machine.node(0).page_state(Item.PGSTEAL_FILE) == stolen
    assert machine.node(0).page_state(Item.PGSTEAL_DIRECT) == 0


def test_node_reclaim_of_more_than_there_is(tree):
    assert failure(tree, "/sys/devices/system/node/node0/reclaim", "100G") == errno.EAGAIN


def test_cpus(tree):
    cpu = "/sys/devices/system/cpu"
    assert tree.read(f"{cpu}/possible") == tree.read(f"{cpu}/online") == "0-3\n"
    assert tree.read(f"{cpu}/offline") == tree.read(f"{cpu}/isolated") == "\n"
    assert tree.read(f"{cpu}/cpu2/topology/core_siblings") == "f\n"
    assert tree.read(f"{cpu}/cpu2/topology/thread_siblings_list") == "2\n"
    assert tree.readlink(f"{cpu}/cpu2/node1") == "../../node/node1"
    assert tree.read(f"{cpu}/cpu2/cache/index2/size") == "512K\n"


def test_block_that_spans_two_zones_has_no_valid_zone(tree):
    assert tree.read(f"{MEMORY}/memory0/valid_zones") == "none\n"
    assert tree.read(f"{MEMORY}/memory1/valid_zones") == "DMA32\n"
