"""Captures that lack files, come from other kernels or containers, or contradict themselves."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import recordings
from vmfs import capture, control
from vmfs.kernel import Feature
from vmfs.mm.check import check
from vmfs.mm.pcp import HUGE
from vmfs.tree import Tree

WHOLE = ("meminfo", "zoneinfo", "buddyinfo", "pagetypeinfo", "slabinfo", "vmstat", "swaps", "stat", "cpuinfo")


@pytest.fixture
def copy(tmp_path) -> Callable[[str], Path]:
    """A step of a recording, to be changed."""

    def make(name: str, number: int = 0) -> Path:
        step = recordings.steps(recordings.load(name))[number]
        return Path(shutil.copytree(step, tmp_path / name))

    return make


def remove(top: Path, *paths: str) -> None:
    for path in paths:
        shutil.rmtree(top / path) if (top / path).is_dir() else (top / path).unlink()


def edit(top: Path, path: str, pattern: str, replacement: str) -> None:
    text = (top / path).read_text()
    changed, count = re.subn(pattern, replacement, text, count=1, flags=re.MULTILINE)
    assert count == 1
    (top / path).write_text(changed)


def load(top: Path, kernel: str | None = None) -> tuple[Tree, list[str]]:
    machine, warnings = capture.load(top, kernel)
    check(machine)
    tree = Tree(machine)
    for name in WHOLE:
        assert tree.read(f"/proc/{name}")
    return tree, warnings


def numbers(text: str) -> dict[str, int]:
    return {line.split(":")[0]: int(line.split()[1]) for line in text.splitlines()}


@pytest.mark.parametrize(
    ("path", "warning"),
    [
        ("proc/meminfo", "proc/meminfo: missing"),
        ("proc/zoneinfo", "proc/zoneinfo: missing; zones are made up"),
        ("proc/vmstat", "proc/vmstat: missing; the events of a machine after boot"),
        ("proc/buddyinfo", "proc/buddyinfo: missing; free memory is taken to be in large blocks"),
        ("proc/pagetypeinfo", "proc/pagetypeinfo: missing; free memory is taken to be movable"),
        ("proc/slabinfo", "proc/slabinfo: missing; the caches of a machine after boot are shown"),
        ("proc/cpuinfo", "proc/cpuinfo: missing; an ordinary CPU is shown"),
        ("proc/cmdline", "proc/cmdline: missing"),
        ("proc/stat", "proc/stat: missing; the CPUs have been idle since boot"),
        ("proc/swaps", "proc/swaps: missing"),
        ("proc/uptime", "proc/uptime: missing"),
        ("proc/version", "proc/version: missing; taken for"),
        ("proc/sys", "proc/sys/vm: missing; the defaults of the release are used"),
        ("sys/kernel/mm/hugepages", "sys/kernel/mm/hugepages: missing"),
    ],
)
@pytest.mark.parametrize("name", ["quad-6.12", "highmem-i386-6.1", "server-5.10"])
def test_one_missing_file_is_one_warning(copy, name, path, warning):
    top = copy(name, 21)
    remove(top, path)
    _, warnings = load(top)
    assert [line for line in warnings if line.startswith(warning)] == warnings
    assert len(warnings) == 1


@pytest.mark.parametrize("name", ["quad-6.12", "latest-7.2", "article-6.1", "server-5.10", "small-6.1"])
def test_a_file_emptied_by_the_copier_is_a_missing_file(copy, name):
    top = copy(name)
    (top / "proc/slabinfo").write_text("")
    assert load(top)[1] == ["proc/slabinfo: missing; the caches of a machine after boot are shown"]


@pytest.mark.parametrize(
    "name", ["quad-6.12", "latest-7.2", "article-6.1", "server-5.10", "highmem-i386-6.1"]
)
@pytest.mark.parametrize("number", [0, 29, 33, 36])
def test_meminfo_alone_shows_its_text_again(copy, name, number):
    """As a sandbox or an old bug report has it."""
    top = copy(name, number)
    kept = (top / "proc/meminfo").read_text()
    version = (top / "proc/version").read_text()
    remove(top, "proc", "sys")
    (top / "proc").mkdir()
    (top / "proc/meminfo").write_text(kept)
    (top / "proc/version").write_text(version)
    tree, warnings = load(top)
    assert any(line.startswith("proc/zoneinfo: missing") for line in warnings)
    before, after = numbers(kept), numbers(tree.read("/proc/meminfo"))
    guessed = {"MemAvailable", "HighTotal", "HighFree", "LowTotal", "LowFree", "CommitLimit", "Hugetlb"}
    assert {k: v for k, v in after.items() if k not in guessed and v != before[k]} == {}


def test_no_root(copy):
    """What an ordinary user could copy: neither slabinfo nor pagetypeinfo."""
    top = copy("article-6.1", 29)
    remove(top, "proc/slabinfo", "proc/pagetypeinfo")
    tree, warnings = load(top)
    assert len(warnings) == 2
    assert tree.read("/proc/buddyinfo") == (top / "proc/buddyinfo").read_text()
    assert tree.read("/proc/slabinfo").count("\n") > 100


def test_a_container_with_lxcfs(copy):
    top = copy("small-6.1")
    edit(top, "proc/meminfo", r"^MemTotal: .*$", "MemTotal:         262144 kB")
    edit(top, "proc/meminfo", r"^MemFree: .*$", "MemFree:          131072 kB")
    with (top / "proc/mounts").open("a") as mounts:
        mounts.write("lxcfs /proc/meminfo fuse.lxcfs rw,nosuid,nodev,relatime 0 0\n")
        mounts.write("lxcfs /proc/swaps fuse.lxcfs rw,nosuid,nodev,relatime 0 0\n")
    tree, warnings = load(top)
    assert warnings == [
        "proc/meminfo: shows a container's view (lxcfs) and is left out; proc/zoneinfo tells of memory",
        (
            "proc/swaps: shows a container's view (lxcfs) and is left out; "
            "one area of proc/meminfo's size stands for all"
        ),
    ]
    assert numbers(tree.read("/proc/meminfo"))["MemTotal"] == 981428


def test_nothing_to_go_by(tmp_path):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/version").write_text("Linux version 6.1.0 (x) #1\n")
    with pytest.raises(capture.CaptureError, match="not a capture: neither proc/zoneinfo nor proc/meminfo"):
        capture.load(tmp_path)


def test_an_unknown_release_is_taken_for_the_nearest(copy):
    top = copy("quad-6.12")
    edit(top, "proc/version", r"6\.12\.107", "6.18.3")
    tree, warnings = load(top)
    assert warnings == ["proc/version: 6.18 is taken for 6.12, the nearest known release"]
    assert tree.machine.kernel.release == (6, 12)
    assert tree.read("/proc/version").startswith("Linux version 6.18.3")


def test_the_kernel_asked_for_wins(copy):
    tree, warnings = load(copy("quad-6.12"), "7.2")
    assert tree.machine.kernel.release == (7, 2)
    assert "free_highatomic" in tree.read("/proc/zoneinfo")
    assert [line.split(":")[0] for line in warnings] == ["proc/vmstat", "proc/vmstat"]
    with pytest.raises(capture.CaptureError, match=r"--kernel 2\.6: unknown release; known: 5\.10, 6\.1"):
        capture.load(copy("small-6.1"), "2.6")


def test_a_kernel_with_more_zones_than_the_captured_one(copy):
    top = copy("latest-7.2")
    edit(top, "proc/sys/vm/lowmem_reserve_ratio", r"\t\d+$", "")
    tree, _ = load(top, "6.12")
    assert tree.read("/proc/sys/vm/lowmem_reserve_ratio") == "256\t256\t32\t0\t0\n"
    tree.write("/proc/sys/vm/lowmem_reserve_ratio", "1 1 1 1 1")
    tree.read("/proc/zoneinfo")


def el8(text: str) -> str:
    """A zoneinfo of 5.10 as RHEL 8 prints it: page tables and swap cache by node."""
    text = re.sub(r"      nr_page_table_pages .*\n", "", text)
    stack = r"(      nr_kernel_stack .*\n)"
    return re.sub(stack, r"\1      nr_page_table_pages 77\n      nr_swapcached 0\n", text)


def test_rhel8_counts_page_tables_by_node(copy):
    top = copy("server-5.10")
    edit(top, "proc/version", r"Linux version \S+", "Linux version 4.18.0-348.2.1.el8_5.x86_64")
    zoneinfo = el8((top / "proc/zoneinfo").read_text())
    (top / "proc/zoneinfo").write_text(zoneinfo)
    remove(top, "sys/devices/system/node")
    edit(top, "proc/vmstat", r"^pgreuse \d+\n", "")
    edit(top, "proc/vmstat", r"^nr_page_table_pages \d+\n", "")
    edit(top, "proc/vmstat", r"^(nr_kernel_stack \d+\n)", r"\1nr_page_table_pages 77\nnr_swapcached 0\n")
    tree, warnings = load(top)
    assert warnings[0] == "proc/version: 4.18 is taken for 5.10, the nearest known release"
    assert any("lacks counters of 5.10" in line and "pgreuse" in line for line in warnings)
    free = r"(pages free +|nr_free_pages )\d+"
    assert re.sub(free, "", tree.read("/proc/zoneinfo")) == re.sub(free, "", zoneinfo)
    assert "PageTables:          308 kB" in tree.read("/proc/meminfo")


def test_4_18_counts_stacks_and_page_tables_by_zone(copy):
    top = copy("server-5.10")
    text = (top / "proc/zoneinfo").read_text()
    text = re.sub(r"      nr_kernel_stack .*\n", "", text)
    text = re.sub(r"(      nr_page_table_pages .*\n)", r"\1      nr_kernel_stack 100\n", text)
    text = re.sub(r"workingset_(refault|activate|restore)_file (.*)", r"workingset_\1 \2", text)
    text = re.sub(r"      workingset_\w+_anon .*\n", "", text)
    text = re.sub(r"(      nr_foll_pin_released .*\n)", r"\1                   3\n", text)  # has no name
    (top / "proc/zoneinfo").write_text(text)
    edit(top, "proc/version", r"Linux version \S+", "Linux version 4.18.0")
    tree, _ = load(top)
    populated = text.count("nr_kernel_stack 100")
    assert populated == 3
    assert f"KernelStack:     {100 * populated:>7} kB" in tree.read("/proc/meminfo")


def test_options_of_a_distribution_follow_the_files(copy):
    """Without ZONE_DEVICE and CMA, and with a backported counter."""
    top = copy("latest-7.2")
    zoneinfo = (top / "proc/zoneinfo").read_text()
    zoneinfo = re.sub(r"(?m)^Node \d, zone +Device\n(^  .*\n|^   .*\n)*", "", zoneinfo)
    zoneinfo = re.sub(r"protection: \((.*), \d+\)", r"protection: (\1)", zoneinfo)
    (top / "proc/zoneinfo").write_text(zoneinfo)
    edit(top, "proc/sys/vm/lowmem_reserve_ratio", r"\t\d+$", "")
    vmstat = re.sub(
        r"(?m)^(cma_\w+|pg\w+_device|allocstall_device) \d+\n", "", (top / "proc/vmstat").read_text()
    )
    (top / "proc/vmstat").write_text(vmstat)
    tree, warnings = load(top)
    assert warnings == []
    kernel = tree.machine.kernel
    assert not kernel.has(Feature.ZONE_DEVICE)
    assert not kernel.has(Feature.CMA)
    assert "zone   Device" not in tree.read("/proc/zoneinfo")
    assert [line.split()[0] for line in tree.read("/proc/vmstat").splitlines()] == [
        line.split()[0] for line in vmstat.splitlines()
    ]


def test_single_node_without_sys(copy):
    top = copy("small-6.1")
    remove(top, "sys")
    tree, warnings = load(top)
    assert [line.split(":")[0] for line in warnings] == [
        "sys/devices/system/node/node0/cpulist",
        "sys/kernel/mm/hugepages",
    ]
    assert tree.read("/sys/devices/system/node/node0/cpulist") == "0-1\n"


def test_node_numbers_with_gaps(copy):
    top = copy("article-6.1")
    nodes = top / "sys/devices/system/node"
    (nodes / "node1").rename(nodes / "node3")
    for path in [*(top / "proc").glob("*info"), *nodes.rglob("*")]:
        if path.is_file():
            text = re.sub(r"(?m)^Node( +)1(?=[ ,])", r"Node\g<1>3", path.read_text())
            path.write_text(re.sub(r"^0-1$", "0,3", text) if path.parent == nodes else text)
    tree, warnings = load(top)
    assert warnings == []
    assert tree.read("/sys/devices/system/node/online") == "0,3\n"
    for path in (
        "proc/buddyinfo",
        "sys/devices/system/node/node3/cpulist",
        "sys/devices/system/node/node3/distance",
    ):
        assert tree.read(f"/{path}") == (top / path).read_text()


def test_a_node_without_memory_and_cpus(copy):
    top = copy("quad-6.12")
    zoneinfo = (top / "proc/zoneinfo").read_text()
    labels = ("boost", "min", "low", "high", "promo", "spanned", "present", "managed", "cma")
    empty = "".join(
        f"Node 3, zone {name:>8}\n  pages free     0\n"
        + "".join(f"        {label:<8} 0\n" for label in labels)
        + "        protection: (0, 0, 0, 0, 0)\n"
        for name in ("DMA", "DMA32", "Normal", "Movable", "Device")
    )
    (top / "proc/zoneinfo").write_text(zoneinfo[: zoneinfo.index("Node 3, zone")] + empty)
    for name in ("buddyinfo", "pagetypeinfo", "meminfo", "vmstat"):
        (top / "proc" / name).unlink()
    shutil.rmtree(top / "sys/devices/system/node/node3")
    tree, _ = load(top)
    assert tree.read("/proc/zoneinfo").endswith(empty)
    assert tree.read("/sys/devices/system/node/has_memory") == "0-2\n"


@pytest.mark.parametrize(
    ("name", "kernel"), [("small-6.1", (407, 407)), ("pair-6.1", (907, 913)), ("trio-6.1", (908, 911))]
)
def test_huge_pages_on_the_lists_of_the_cpu_that_captured_can_be_had(copy, name, kernel):
    """Asked for more than there are, after drop_caches has left nothing that reclaim could free."""
    tree, _ = load(copy(name, -1))
    for bits in ("1", "2"):
        tree.write("/proc/sys/vm/drop_caches", bits)
    tree.write("/proc/sys/vm/nr_hugepages", "100000")
    got = int(tree.read("/proc/sys/vm/nr_hugepages"))
    assert kernel[0] * 0.99 <= got <= kernel[1] * 1.01


def test_who_captured_goes_on_where_it_ran(copy):
    top = copy("small-6.1", -1)
    assert load(top)[0].machine.captured_on == 1
    assert [huge_on_list(top, cpu) for cpu in (0, 1)] == [6068 // 512 * 512, 1598 // 512 * 512]
    edit(top, "proc/self/stat", r"\(cat\)", "(a) b (c)")
    assert load(top)[0].machine.captured_on == 1
    edit(top, "proc/self/stat", r" 17 1 ", " 17 99 ")  # a CPU that is not there
    assert load(top)[0].machine.captured_on is None
    for text in ("", "nonsense\n", "1 (cat) R 1 2 3\n"):
        (top / "proc/self/stat").write_text(text)
        assert load(top)[0].machine.captured_on is None


def test_lists_of_a_machine_that_never_freed_a_huge_page_hold_small_ones(copy):
    top = copy("small-6.1", -1)
    edit(top, "proc/vmstat", r"^htlb_buddy_alloc_success \d+$", "htlb_buddy_alloc_success 0")
    assert [huge_on_list(top, cpu) for cpu in (0, 1)] == [0, 0]


def test_a_page_cache_that_was_dropped_and_is_back_took_huge_pages_off_the_lists(copy):
    """Recorded: 1,392 pages on the list of CPU 0 of which drop_caches left 145."""
    top = copy("small-6.1", 27)
    assert [huge_on_list(top, cpu) for cpu in (0, 1)] == [0, 0]
    edit(top, "proc/vmstat", r"^drop_pagecache \d+$", "drop_pagecache 0")
    assert [huge_on_list(top, cpu) for cpu in (0, 1)] == [1392 // 512 * 512, 2054 // 512 * 512]


def huge_on_list(top: Path, cpu: int) -> int:
    tree, _ = load(top)
    return sum(zone.pageset.held(cpu, HUGE) for _, zone in tree.machine.zones())


def test_a_node_that_counts_less_than_its_zones(copy):
    """CPUs hand counts in late: the node's goes below 0 as pages are reclaimed."""
    top = copy("small-6.1", 35)
    edit(top, "proc/zoneinfo", r"^      nr_inactive_anon \d+$", "      nr_inactive_anon 3")
    edit(top, "proc/zoneinfo", r"^      nr_active_anon \d+$", "      nr_active_anon 3")
    tree, _ = load(top)
    tree.write("/proc/sys/vm/nr_hugepages", "100000")
    lists = re.findall(r"^nr_(?:in)?active_anon (.+)$", tree.read("/proc/vmstat"), re.MULTILINE)
    assert len(lists) == 2
    assert all(int(pages) >= 0 for pages in lists)


def test_a_kernel_with_pae_shows_it_in_its_map_of_memory(copy):
    """Recorded of 6.1.0-50-686-pae: huge pages of 2 MiB, and 4 MiB more for vmalloc."""
    top = copy("highmem-i386-6.1")
    plain, _ = load(top)
    edit(top, "proc/meminfo", "^DirectMap4M:", "DirectMap2M:")
    pae, _ = load(top)
    size = "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size"
    assert (plain.read(size), pae.read(size)) == ("4194304\n", "2097152\n")
    totals = [numbers(tree.read("/proc/meminfo"))["VmallocTotal"] for tree in (plain, pae)]
    assert totals[1] - totals[0] == 4096
    # Per task: tables of 2 MiB, and one for each of three GiB that is there before it is needed.
    grown = []
    for tree in (plain, pae):
        before = numbers(tree.read("/proc/meminfo"))["PageTables"]
        control.run(tree, "start load anon=64M")
        grown.append((numbers(tree.read("/proc/meminfo"))["PageTables"] - before) // 4)
    assert grown[1] - grown[0] == (64 // 2 + 3) - 64 // 4


def test_page_blocks_of_another_order(copy):
    """As a kernel without huge pages has them."""
    top = copy("small-6.1")
    text = (top / "proc/pagetypeinfo").read_text().replace("Page block order: 9", "Page block order: 10")
    counts = re.compile(r"(?m)^(Node 0, zone +\w+) ([\d ]+)$")
    halved = counts.sub(lambda m: m[1] + "".join(f" {int(n) // 2:>12}" for n in m[2].split()) + " ", text)
    (top / "proc/pagetypeinfo").write_text(halved)
    tree, warnings = load(top)
    assert warnings == ["proc/pagetypeinfo: page blocks of order 10 are counted as order 9"]
    ours, recorded = (counts.findall(t)[1][1].split() for t in (tree.read("/proc/pagetypeinfo"), text))
    assert [int(n) for n in ours] == [int(n) // 2 * 2 for n in recorded]


CONTRADICTIONS = [
    ("proc/meminfo", r"^MemTotal: .*$", "MemTotal:        9981428 kB", "proc/meminfo:1: MemTotal is 2495357"),
    ("proc/meminfo", r"^MemTotal: .*$", "MemTotal:         181428 kB", "proc/meminfo:1: MemTotal is 45357"),
    ("proc/meminfo", r"^MemFree: .*$", "MemFree:            1428 kB", "proc/meminfo:2: MemFree is"),
    (
        "sys/devices/system/node/node0/meminfo",
        r"MemTotal: .*$",
        "MemTotal:    1 kB",
        "node0/meminfo:1: MemTotal",
    ),
    (
        "proc/zoneinfo",
        r"managed  241\d+",
        "managed  1241517",
        "zoneinfo:.*managed 1241517 is more than present",
    ),
    ("proc/zoneinfo", r"spanned  4095", "spanned  15", "zoneinfo:1: .*present 3998 is more than spanned 15"),
    ("proc/zoneinfo", r"low      \d+", "low      1", "zoneinfo:1: .* is more than low 1"),
    (
        "proc/zoneinfo",
        r"pages free     \d+",
        "pages free     5000",
        "zoneinfo:1: .*free 5000 is more than managed",
    ),
    ("proc/zoneinfo", r"count: \d+", "count: 99999", "zoneinfo:.*pages on per-cpu lists"),
    ("proc/zoneinfo", r"start_pfn:           1$", "start_pfn: 9999999999999", "beyond any physical address"),
    ("proc/zoneinfo", r"zone    DMA32", "zone    Weird", "zoneinfo:.*unknown zone Weird; known: DMA, DMA32"),
    ("proc/buddyinfo", r"\d+ $", "9999 ", "buddyinfo: node 0, zone DMA: .* pages free of 3840 managed"),
    ("proc/buddyinfo", r"^Node 0, zone    DMA32 .*\n", "", "buddyinfo: node 0, zone DMA32 is in one of"),
    ("proc/pagetypeinfo", r"^(Node 0, zone    DMA32 +)\d+", r"\g<1>99999", "pagetypeinfo: .* blocks of 512"),
    ("proc/slabinfo", r"0      0      0$", "0 999999999 0", "slabinfo:3: "),
    ("proc/vmstat", r"nr_free_pages \d+", "nr_free_pages 999999", "vmstat:1: nr_free_pages 999999"),
    ("proc/swaps", r"\Z", "/dev/x partition 8 16 -2\n", "swaps:2: .*4 pages used of 2"),
    ("proc/cpuinfo", r"processor\t: 0", "processor\t: zero", "cpuinfo:1: processor: expected a number"),
    ("proc/version", r"^.*$", "FreeBSD 14", "version:1: expected 'Linux version"),
    ("proc/sys/vm/swappiness", r"^.*$", "a lot", "proc/sys/vm/swappiness:1: not a value of this file"),
    ("proc/sys/vm/min_free_kbytes", r"^.*$", "-1", "min_free_kbytes:1: expected a number, found '-1'"),
    ("sys/devices/system/node/online", r"^.*$", "0-1", "online:1: node 1 is in one of this file and"),
    ("sys/devices/system/node/node0/cpulist", r"^.*$", "0-7", "cpulist:1: cpu 2 is not online"),
    ("sys/devices/system/node/node0/distance", r"^.*$", "10 20", "distance:1: expected 1 distances"),
    (
        "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages",
        r"^.*$",
        "7777",
        "nr_hugepages:1: 7777 pages, but",
    ),
]


@pytest.mark.parametrize(("path", "pattern", "replacement", "complaint"), CONTRADICTIONS)
def test_contradictions_are_refused(copy, path, pattern, replacement, complaint):
    top = copy("small-6.1")
    edit(top, path, pattern, replacement)
    with pytest.raises(capture.CaptureError, match=complaint):
        capture.load(top)


@pytest.mark.parametrize("path", ["proc/zoneinfo", "proc/buddyinfo", "proc/pagetypeinfo", "proc/meminfo"])
def test_a_file_cut_inside_a_line(copy, path):
    top = copy("article-6.1")
    data = (top / path).read_bytes()
    (top / path).write_bytes(data[: len(data) // 2].rstrip(b"\n")[:-1])
    line = data[: len(data) // 2].rstrip(b"\n")[:-1].count(b"\n") + 1
    with pytest.raises(capture.CaptureError, match=rf"{path}:{line}: the line is cut"):
        capture.load(top)


def test_what_was_captured_lives_on(copy):
    """A loaded machine is one as any other: it answers writes, and takes and gives memory."""
    tree, _ = load(copy("quad-6.12", 29))
    free = tree.machine.free_pages
    tree.write("/proc/sys/vm/nr_hugepages", "64")
    assert tree.read("/proc/sys/vm/nr_hugepages") == "64\n"
    assert tree.machine.free_pages < free
    tree.write("/proc/sys/vm/drop_caches", "3")
    assert numbers(tree.read("/proc/meminfo"))["Inactive(file)"] < 1000
    check(tree.machine)


def test_same_capture_and_seed_same_bytes(copy):
    top = copy("latest-7.2", 33)
    first, second = load(top)[0], load(top)[0]
    for tree in (first, second):
        tree.write("/proc/sys/vm/compact_memory", "1")
    assert [first.read(f"/proc/{name}") for name in WHOLE] == [second.read(f"/proc/{name}") for name in WHOLE]


THP = "sys/kernel/mm/transparent_hugepage"


@pytest.mark.parametrize(
    ("path", "captured"),
    [
        ("khugepaged/full_scans", "16\n"),
        ("khugepaged/pages_collapsed", "3\n"),
        ("hugepages-2048kB/stats/nr_anon", "5\n"),
        ("hugepages-2048kB/stats/nr_anon_partially_mapped", "1\n"),
        ("hugepages-64kB/stats/anon_fault_alloc", "700\n"),
    ],
)
def test_counts_of_huge_pages_are_kept(copy, path, captured):
    top = copy("quad-6.12")
    (top / THP / path).write_text(captured)
    tree, _ = load(top)

    assert tree.read(f"/{THP}/{path}") == captured


def test_huge_pages_made_here_count_on_top_of_the_captured_ones(copy):
    top = copy("quad-6.12")
    path = f"{THP}/hugepages-2048kB/stats/nr_anon"
    (top / path).write_text("5\n")
    tree, _ = load(top)
    before = tree.read(f"/{THP}/hugepages-2048kB/stats/anon_fault_alloc")
    tree.machine.start("huge", anon=2048, thp=True)

    assert tree.read(f"/{path}") == "9\n"
    assert int(tree.read(f"/{THP}/hugepages-2048kB/stats/anon_fault_alloc")) == int(before) + 4


@pytest.mark.parametrize(("hypervisor", "expected"), [("hypervisor", "40000000\n"), ("", "80000000\n")])
def test_blocks_of_memory_are_as_large_as_the_kernel_makes_them(copy, hypervisor, expected):
    top = copy("big-256g-6.12")
    assert not (top / "sys/devices/system/memory").exists()
    (top / "proc/cpuinfo").write_text((top / "proc/cpuinfo").read_text().replace("hypervisor", hypervisor))
    tree, _ = load(top)

    assert tree.read("/sys/devices/system/memory/block_size_bytes") == expected
