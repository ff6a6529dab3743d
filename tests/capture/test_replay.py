"""A recorded step, loaded, shows the recorded text again.

The recorder read one file after another, so free memory and fast counters differ between the
files of one step. One file is believed for each number (`vmfs/capture/zones.py`, `counters.py`);
where another file's line differs, it must say what that one says. Nothing else may differ.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import recordings
from vmfs import capture
from vmfs.capture.parse_zoneinfo import ZoneText, parse_zoneinfo
from vmfs.capture.text import Text
from vmfs.mm.check import check
from vmfs.mm.mmzone import NR_PAGE_ORDERS
from vmfs.tree import Tree
from vmfs.views.sys import node as node_view

STEPS = [step for name in recordings.names() for step in recordings.steps(recordings.load(name))]

NOT_OURS = re.compile(r"actions|log|dmesg\.txt|pid-.*|proc/self/.*")
"""What the recorder added, and the recorder's own process."""


@pytest.fixture(params=STEPS, ids=lambda step: f"{step.parent.name}/{step.name}", scope="module")
def step(request) -> Path:
    return request.param


@pytest.fixture(scope="module")
def tree(step) -> Tree:
    machine, warnings = capture.load(step)
    assert warnings == []
    check(machine)
    return Tree(machine)


def files(step: Path) -> list[str]:
    every = (str(path.relative_to(step)) for path in sorted(step.rglob("*")) if path.is_file())
    return [path for path in every if not NOT_OURS.fullmatch(path) and (step / path).stat().st_size]


def shown(tree: Tree, path: str) -> str:
    return tree.read_bytes(f"/{path}").decode()


def differing(step: Path, tree: Tree, path: str) -> list[tuple[str, str]]:
    recorded, ours = (step / path).read_text().split("\n"), shown(tree, path).split("\n")
    assert len(recorded) == len(ours), path
    return [pair for pair in zip(recorded, ours, strict=True) if pair[0] != pair[1]]


def zones(step: Path) -> list[ZoneText]:
    return parse_zoneinfo(Text.of("proc/zoneinfo", (step / "proc/zoneinfo").read_bytes()))


def free_pages(step: Path, nid: int | None = None) -> dict[tuple[str, str], int]:
    """Of each zone of a node, as buddyinfo has it."""
    rows = re.findall(r"Node (\d+), zone +(\w+) ([\d ]+)\n", (step / "proc/buddyinfo").read_text())
    return {
        (node, zone): sum(int(count) << order for order, count in enumerate(counts.split()))
        for node, zone, counts in rows
        if nid in (None, int(node))
    }


def believed(step: Path, name: str, nid: int | None = None) -> int:
    """A counter of zoneinfo, summed over a node or the machine."""
    own = [zone for zone in zones(step) if nid in (None, zone.nid)]
    if name == "nr_free_pages":
        return sum(free_pages(step, nid).values())
    return sum(zone.node_stat.get(name, 0) + zone.stat.get(name, 0) for zone in own)


def test_every_other_file_is_the_same(step, tree):
    skewed = re.compile(
        r"proc/(meminfo|vmstat|zoneinfo|pagetypeinfo)|.*/node\d+/(meminfo|vmstat|numastat)"
        r"|sys/kernel/mm/hugepages/.*/free_hugepages"
    )
    wrong = [path for path in files(step) if not skewed.fullmatch(path) and differing(step, tree, path)]
    assert wrong == []


def test_zoneinfo_but_for_free_pages(step, tree):
    lines = differing(step, tree, "proc/zoneinfo")
    assert [line for line, _ in lines if not re.match(r"  pages free | +nr_free_pages", line)] == []
    ours = parse_zoneinfo(Text.of("proc/zoneinfo", shown(tree, "proc/zoneinfo").encode()))
    free = {(str(zone.nid), zone.name): zone.pages["free"] for zone in ours if zone.pages["present"]}
    assert free == free_pages(step)


def test_pagetypeinfo_sums_to_buddyinfo(step, tree):
    pattern = r"Node +(\d+), zone +(\w+), type +\w+ ([>\d ]+)\n"
    text = shown(tree, "proc/pagetypeinfo")
    sums: dict[tuple[str, str], list[int]] = {}
    for node, zone, counts in re.findall(pattern, text):
        row = sums.setdefault((node, zone), [0] * NR_PAGE_ORDERS)
        sums[node, zone] = [a + int(b) for a, b in zip(row, counts.split(), strict=True)]
    buddy = re.findall(r"Node (\d+), zone +(\w+) ([\d ]+)\n", shown(tree, "proc/buddyinfo"))
    assert sums == {(node, zone): list(map(int, counts.split())) for node, zone, counts in buddy}
    recorded = (step / "proc/pagetypeinfo").read_text()
    for line, ours in differing(step, tree, "proc/pagetypeinfo"):
        (where,) = re.findall(r"^Node +(\d+), zone +(\w+), type ", line)
        said = [c for n, z, c in re.findall(pattern, recorded) if (n, z) == where]
        theirs = [sum(column) for column in zip(*(map(int, row.split()) for row in said), strict=True)]
        assert theirs != sums[where], f"changed without need: {ours}"


def test_vmstat_but_for_counters_of_zoneinfo(step, tree):
    lines = {ours.split()[0]: (line, ours) for line, ours in differing(step, tree, "proc/vmstat")}
    moved = {name: abs(int(ours.split()[1]) - int(line.split()[1])) for name, (line, ours) in lines.items()}
    for name, (line, ours) in lines.items():
        if name in {"nr_dirty_threshold", "nr_dirty_background_threshold"}:
            # Computed from free memory and page cache; a share of the difference at most.
            sources = ("nr_free_pages", "nr_inactive_file", "nr_active_file")
            assert moved[name] <= sum(moved.get(source, 0) for source in sources), f"recorded {line}"
        else:
            assert int(ours.split()[1]) == believed(step, name), f"recorded {line}"


def test_node_counters_are_those_of_zoneinfo(step, tree):
    for path in files(step):
        if not (found := re.fullmatch(r".*/node(\d+)/(vmstat|numastat)", path)):
            continue
        names = {name: item.text for name, item in node_view.NUMASTAT}
        for line, ours in differing(step, tree, path):
            name, count = ours.split()
            name = names.get(name, name) if found[2] == "numastat" else name
            assert int(count) == believed(step, name, int(found[1])), f"{path}: recorded {line}"


SUMS = {
    "MemFree": ("nr_free_pages",),
    "Active": ("nr_active_anon", "nr_active_file"),
    "Inactive": ("nr_inactive_anon", "nr_inactive_file"),
    "Active(anon)": ("nr_active_anon",),
    "Inactive(anon)": ("nr_inactive_anon",),
    "Active(file)": ("nr_active_file",),
    "Inactive(file)": ("nr_inactive_file",),
    "SwapCached": ("nr_swapcached",),
    "Dirty": ("nr_dirty",),
    "Writeback": ("nr_writeback",),
    "FilePages": ("nr_file_pages",),
    "AnonPages": ("nr_anon_pages",),
    "Mapped": ("nr_mapped",),
    "Shmem": ("nr_shmem",),
    "KReclaimable": ("nr_slab_reclaimable", "nr_kernel_misc_reclaimable"),
    "Slab": ("nr_slab_reclaimable", "nr_slab_unreclaimable"),
    "SReclaimable": ("nr_slab_reclaimable",),
    "SUnreclaim": ("nr_slab_unreclaimable",),
    "PageTables": ("nr_page_table_pages",),
}


def elsewhere(step: Path, tree: Tree, label: str, nid: int | None) -> int:
    """The number of a line of meminfo that other files than zoneinfo decide; KeyError for any other."""
    return {
        "KernelStack": lambda: believed(step, "nr_kernel_stack", nid),
        "MemUsed": lambda: 4 * (managed(step, nid) - believed(step, "nr_free_pages", nid)),
        "HighFree": lambda: 4 * sum(n for (_, name), n in free_pages(step).items() if name == "HighMem"),
        "LowFree": lambda: 4 * sum(n for (_, name), n in free_pages(step).items() if name != "HighMem"),
        "Cached": lambda: 4 * believed(step, "nr_file_pages") - buffers_and_swapcache(tree),
        "SwapFree": lambda: swap_free(step),
        "HugePages_Free": lambda: pool(tree, "free_hugepages", nid),
        "HugePages_Rsvd": lambda: pool(tree, "resv_hugepages", nid),
    }[label]()


def managed(step: Path, nid: int | None) -> int:
    return sum(zone.pages["managed"] for zone in zones(step) if zone.nid == nid)


def buffers_and_swapcache(tree: Tree) -> int:
    return sum(map(int, re.findall(r"(?m)^(?:Buffers|SwapCached): +(\d+)", shown(tree, "proc/meminfo"))))


def swap_free(step: Path) -> int:
    rows = (line.split() for line in (step / "proc/swaps").read_text().splitlines()[1:])
    return sum(int(size) - int(used) for _, _, size, used, _ in rows)


def pool(tree: Tree, name: str, nid: int | None) -> int:
    where = f"sys/devices/system/node/node{nid}/" if nid is not None else "sys/kernel/mm/"
    return int(shown(tree, f"{where}hugepages/hugepages-2048kB/{name}"))


def label_of(line: str) -> str:
    return re.sub(r"^Node \d+ ", "", line).split(":")[0]


def number_of(line: str) -> int:
    return int(line.split(":")[1].split(maxsplit=1)[0])


def test_meminfo_is_that_of_the_other_files(step, tree):
    for path in files(step):
        if not (found := re.fullmatch(r"proc/meminfo|.*/node(\d+)/meminfo", path)):
            continue
        nid = int(found[1]) if found[1] else None
        lines = differing(step, tree, path)
        moved = {label_of(ours): abs(number_of(ours) - number_of(line)) for line, ours in lines}
        for line, ours in lines:
            label, kbytes = label_of(ours), number_of(ours)
            if label == "MemAvailable":
                sources = ("MemFree", "Active(file)", "Inactive(file)", "KReclaimable")
                assert moved[label] <= sum(moved.get(source, 0) for source in sources), f"recorded {line}"
            elif label in SUMS:
                expected = 4 * sum(believed(step, name, nid) for name in SUMS[label])
                assert kbytes == expected, f"{path}: recorded {line}"
            else:
                assert kbytes == elsewhere(step, tree, label, nid), f"{path}: recorded {line}"
