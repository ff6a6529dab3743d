"""A machine loaded from a recording prints the files that it was loaded from.

A recording's files were read one after another, so counters that move by themselves differ a
little between them; the capture believes zoneinfo. Whatever comes from one file alone is compared
byte for byte, the rest line for line without the numbers.
"""

import re

import pytest

from tests import recordings
from vmfs import capture
from vmfs.tree import Tree

NAMES = recordings.names()
EXACT = [
    "buddyinfo",
    "slabinfo",
    "swaps",
    "version",
    "cmdline",
    "cpuinfo",
    "filesystems",
    "iomem",
    "mounts",
    "stat",
    "loadavg",
    "uptime",
    "pressure/cpu",
    "pressure/io",
    "pressure/memory",
]
NODE_EXACT = ("cpulist", "cpumap", "distance")
NODES_EXACT = (
    "online",
    "possible",
    "has_cpu",
    "has_memory",
    "has_normal_memory",
    "has_generic_initiator",
)
CONSTANT = {  # lines of meminfo that one file alone tells, or that boot fixes
    "MemTotal",
    "Buffers",
    "HighTotal",
    "LowTotal",
    "SwapTotal",
    "SwapFree",
    "Zswap",
    "Zswapped",
    "NFS_Unstable",
    "Bounce",
    "WritebackTmp",
    "CommitLimit",
    "Committed_AS",
    "VmallocTotal",
    "VmallocChunk",
    "Percpu",
    "HardwareCorrupted",
    "HugePages_Total",
    "HugePages_Free",
    "HugePages_Rsvd",
    "HugePages_Surp",
    "Hugepagesize",
    "Hugetlb",
    "DirectMap4k",
    "DirectMap2M",
    "DirectMap4M",
    "DirectMap1G",
}


@pytest.fixture(scope="module", params=NAMES)
def recording(request):
    return recordings.load(request.param)


@pytest.fixture(scope="module", params=[0, -2, -1], ids=["boot", "late", "last"])
def shown(recording, request):
    """A step, and the tree of the machine loaded from it."""
    step = recordings.steps(recording)[request.param]
    machine, _ = capture.load(step)
    return step, Tree(machine)


def masked(text: str) -> list[str]:
    return re.sub(r" *\d+", " #", text).splitlines()


def numbers(text: str) -> dict[str, int]:
    return {m[1]: int(m[2]) for m in re.finditer(r"^(?:Node \d+ )?([\w()]+):? +(\d+)", text, re.MULTILINE)}


@pytest.mark.parametrize("name", EXACT)
def test_a_file_with_one_source_is_the_recorded_one(shown, name):
    step, tree = shown
    assert tree.read(f"/proc/{name}") == (step / "proc" / name).read_text()


def test_zoneinfo_is_the_recorded_one_but_for_free_pages(shown):
    """Free pages are those of buddyinfo."""
    step, tree = shown
    moving = re.compile(
        r"^(  pages free|      nr_free_pages(_blocks)?|  free_highatomic:) +\d+", re.MULTILINE
    )
    recorded = (step / "proc/zoneinfo").read_text()
    assert moving.sub(r"\1", tree.read("/proc/zoneinfo")) == moving.sub(r"\1", recorded)


def test_pagetypeinfo_has_the_recorded_lines_and_page_blocks(shown):
    step, tree = shown
    printed, recorded = tree.read("/proc/pagetypeinfo"), (step / "proc/pagetypeinfo").read_text()
    assert masked(printed) == masked(recorded)
    blocks = re.compile(r"^Node \d+, zone +\w+ [ \d]+$", re.MULTILINE)
    assert blocks.findall(printed) == blocks.findall(recorded)


@pytest.mark.parametrize("name", ["meminfo", "vmstat", "zoneinfo"])
def test_every_line_is_there_in_order(shown, name):
    step, tree = shown
    assert masked(tree.read(f"/proc/{name}")) == masked((step / "proc" / name).read_text())


def test_numbers_of_meminfo_that_do_not_move(shown):
    step, tree = shown
    printed, recorded = (
        numbers(t) for t in (tree.read("/proc/meminfo"), (step / "proc/meminfo").read_text())
    )
    assert {k: v for k, v in printed.items() if k in CONSTANT} == {
        k: v for k, v in recorded.items() if k in CONSTANT
    }


def test_events_are_the_recorded_ones(shown):
    step, tree = shown
    printed, recorded = (tree.read("/proc/vmstat"), (step / "proc/vmstat").read_text())
    start = "\npgpgin "
    assert printed[printed.index(start) :] == recorded[recorded.index(start) :]


def test_free_memory_is_counted_once(shown):
    """The same pages in every file, computed from the text."""
    _, tree = shown
    meminfo = numbers(tree.read("/proc/meminfo"))
    rows = [line.split()[4:] for line in tree.read("/proc/buddyinfo").splitlines()]
    buddy = sum(int(count) << order for row in rows for order, count in enumerate(row))
    zones = re.findall(r"pages free +(\d+)", tree.read("/proc/zoneinfo"))
    assert meminfo["MemFree"] == 4 * buddy == 4 * sum(map(int, zones))
    assert f"nr_free_pages {buddy}\n" in tree.read("/proc/vmstat")


def test_node_files(shown):
    step, tree = shown
    nodes = step / "sys/devices/system/node"
    for name in NODES_EXACT if nodes.exists() else ():
        assert tree.read(f"/sys/devices/system/node/{name}") == (nodes / name).read_text()
    for node in nodes.glob("node*"):
        for name in NODE_EXACT:
            assert tree.read(f"/sys/devices/system/node/{node.name}/{name}") == (node / name).read_text()
        for name in ("meminfo", "vmstat", "numastat"):
            printed = tree.read(f"/sys/devices/system/node/{node.name}/{name}")
            assert masked(printed) == masked((node / name).read_text())


def test_nodes_sum_to_the_machine(shown):
    _, tree = shown
    meminfo = numbers(tree.read("/proc/meminfo"))
    if "node" not in tree.listdir("/sys/devices/system"):
        return
    nids = [n for n in tree.listdir("/sys/devices/system/node") if re.fullmatch(r"node\d+", n)]
    nodes = [numbers(tree.read(f"/sys/devices/system/node/{n}/meminfo")) for n in nids]
    for label in ("MemTotal", "MemFree", "Active", "Dirty", "Slab", "HugePages_Total", "HugePages_Free"):
        assert sum(node[label] for node in nodes) == meminfo[label]


def test_names_and_modes_of_node_directories(recording):
    """As `meta/modes.txt` and `ls` of node 0 have them."""
    machine, _ = capture.load(recordings.steps(recording)[0])
    block_bytes = recording / "meta/sys/devices/system/memory/block_size_bytes"  # not in the steps
    machine.hardware.memory_block_bytes = int(block_bytes.read_text() or "0", 16)
    tree = Tree(machine)
    names = (recording / "meta/node0-ls.txt").read_text().split()
    if names:
        assert sorted(tree.listdir("/sys/devices/system/node/node0")) == sorted(names)
    else:
        assert "node" not in tree.listdir("/sys/devices/system")
    for line in (recording / "meta/modes.txt").read_text().splitlines():
        mode, path = line.split(" ")[0], line.split(" ")[-1]
        if re.fullmatch(r"/sys/devices/system/node(/\w+)*", path) and "hugepages" not in path:
            assert f"{tree.stat(path).st_mode & 0o777:o}" == mode, path


def test_slab_directories_are_those_of_the_kernel(recording):
    """Names from slab-aliases.txt, numbers from slab-geometry.txt."""
    machine, _ = capture.load(recordings.steps(recording)[0])
    tree = Tree(machine)
    aliases = (recording / "meta/slab-aliases.txt").read_text().splitlines()
    assert tree.listdir("/sys/kernel/slab") == sorted({line.split()[0] for line in aliases if line.strip()})
    for line in aliases:
        if " -> " in line:
            name, target = line.split(" -> ")
            assert tree.readlink(f"/sys/kernel/slab/{name}") == target
    for line in (recording / "meta/slab-geometry.txt").read_text().splitlines():
        name, *facts = line.split()
        for fact in facts:
            key, value = fact.split("=")
            file = {"reclaim": "reclaim_account"}.get(key, key)
            if file != "cpu_partial":
                assert tree.read(f"/sys/kernel/slab/{name}/{file}") == f"{value}\n", line
