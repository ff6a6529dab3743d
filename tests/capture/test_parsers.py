"""Each parser takes in every number of its file: what it answers, printed again, is the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import recordings
from vmfs.capture import parse_hardware as hardware
from vmfs.capture import parse_stat as stat
from vmfs.capture.parse_buddyinfo import parse_buddyinfo
from vmfs.capture.parse_lists import parse_list, parse_mask
from vmfs.capture.parse_meminfo import parse_meminfo
from vmfs.capture.parse_pagetypeinfo import TYPES, PageTypes, parse_pagetypeinfo
from vmfs.capture.parse_slabinfo import parse_slabinfo
from vmfs.capture.parse_swaps import parse_swaps
from vmfs.capture.parse_vmstat import NUMASTAT, parse_numastat, parse_vmstat
from vmfs.capture.parse_zoneinfo import ZoneText, parse_zoneinfo
from vmfs.capture.text import CaptureError, Text

STEPS = [step for name in recordings.names() for step in recordings.steps(recordings.load(name))]


@pytest.fixture(params=STEPS, ids=lambda step: f"{step.parent.name}/{step.name}")
def step(request) -> Path:
    return request.param


def text_of(step: Path, path: str) -> Text:
    return Text.of(path, (step / path).read_bytes())


def zoneinfo_lines(zone: ZoneText) -> list[str]:
    pages = {name: n for name, n in zone.pages.items() if name != "free"}
    wide = any("high_min" in pageset for pageset in zone.pagesets.values())
    lines = [f"Node {zone.nid}, zone {zone.name:>8}"]
    lines += ["  per-node stats"] * bool(zone.node_stat)
    lines += [f"      {name:<12} {n}" for name, n in zone.node_stat.items()]
    lines += [f"  pages free     {zone.pages['free']}"]
    lines += [f"        {name:<8} {n}" for name, n in pages.items()]
    lines += [f"        protection: ({', '.join(map(str, zone.protection))})"]
    lines += [f"      {name:<12} {n}" for name, n in zone.stat.items()]
    lines += ["  pagesets"] * bool(zone.pagesets)
    for cpu, pageset in zone.pagesets.items():
        lines += [f"    cpu: {cpu}"]
        lines += [f"              {name + ':':<{10 if wide else 7}}{n}" for name, n in pageset.items()]
        lines += [f"  vm stats threshold: {zone.thresholds[cpu]}"]
    return lines + [f"  {name + ':':<20} {n}" for name, n in zone.tail.items()]


def loose(text: str) -> list[str]:
    """Lines with single blanks: how columns are padded is the views' business."""
    return [" ".join(line.split()) for line in text.split("\n") if line]


def test_zoneinfo(step):
    zones = parse_zoneinfo(text_of(step, "proc/zoneinfo"))
    printed = "\n".join(line for zone in zones for line in zoneinfo_lines(zone))
    assert loose(printed) == loose((step / "proc/zoneinfo").read_text())


def test_buddyinfo(step):
    zones = parse_buddyinfo(text_of(step, "proc/buddyinfo"))
    printed = [f"Node {n}, zone {z} " + " ".join(map(str, counts)) for (n, z), counts in zones.items()]
    assert printed == loose((step / "proc/buddyinfo").read_text())


def pagetypeinfo_lines(types: PageTypes) -> list[str]:
    names = {migratetype: name for name, migratetype in TYPES.items()}
    free = [
        f"Node {n}, zone {z}, type {names[t]} " + " ".join(map(str, counts))
        for (n, z), lists in types.free.items()
        for t, counts in lists.items()
    ]
    return free + [
        f"Node {n}, zone {z} " + " ".join(map(str, blocks.values()))
        for (n, z), blocks in types.blocks.items()
    ]


def test_pagetypeinfo(step):
    types = parse_pagetypeinfo(text_of(step, "proc/pagetypeinfo"))
    recorded = loose((step / "proc/pagetypeinfo").read_text())
    assert sorted(pagetypeinfo_lines(types)) == sorted(line for line in recorded if line.startswith("Node "))
    assert f"Page block order: {types.pageblock_order}" in recorded


def test_vmstat(step):
    counts = parse_vmstat(text_of(step, "proc/vmstat"))
    assert "".join(f"{name} {n}\n" for name, n in counts.items()) == (step / "proc/vmstat").read_text()


def test_meminfo(step):
    fields = parse_meminfo(text_of(step, "proc/meminfo"))
    recorded = [line.removesuffix(" kB") for line in loose((step / "proc/meminfo").read_text())]
    assert [f"{label}: {n}" for label, n in fields.items()] == recorded


def test_node_files(step):
    for folder in (step / "sys/devices/system/node").glob("node[0-9]*"):
        nid = int(folder.name.removeprefix("node"))
        where = f"sys/devices/system/node/node{nid}"
        fields = parse_meminfo(text_of(step, f"{where}/meminfo"), nid)
        recorded = [line.removesuffix(" kB") for line in loose((folder / "meminfo").read_text())]
        assert [f"Node {nid} {label}: {n}" for label, n in fields.items()] == recorded
        numastat = parse_numastat(text_of(step, f"{where}/numastat"))
        printed = "".join(f"{name} {numastat[vmstat]}\n" for name, vmstat in NUMASTAT.items())
        assert printed == (folder / "numastat").read_text()
        cpus = parse_list(text_of(step, f"{where}/cpulist"))
        assert parse_mask(text_of(step, f"{where}/cpumap"))[0] == cpus


def test_slabinfo(step):
    caches = parse_slabinfo(text_of(step, "proc/slabinfo"))
    printed = [
        f"{c.name} {c.active_objs} {c.num_objs} {c.size} {c.objects_per_slab} {1 << c.order}"
        f" : tunables 0 0 0 : slabdata {c.num_slabs} {c.num_slabs} 0"
        for c in caches
    ]
    assert printed == loose((step / "proc/slabinfo").read_text())[2:]


def test_swaps(step):
    areas = parse_swaps(text_of(step, "proc/swaps"))
    printed = [f"{a.name} {a.kind} {a.pages * 4} {a.used * 4} {a.priority}" for a in areas]
    assert printed == loose((step / "proc/swaps").read_text())[1:]


def test_hardware(step):
    recorded = (step / "proc/cpuinfo").read_text()
    cpus = hardware.parse_cpuinfo(text_of(step, "proc/cpuinfo"))
    printed = ["".join("".join(f"{key}:{value}" for key, value in cpu).split()) for cpu in cpus]
    assert printed == ["".join(cpu.split()) for cpu in recorded.split("\n\n")[:-1]]
    rows = hardware.parse_filesystems(text_of(step, "proc/filesystems"))
    assert (
        "".join(f"{'nodev' * nodev}\t{name}\n" for nodev, name in rows)
        == (step / "proc/filesystems").read_text()
    )
    mounts = hardware.parse_mounts(text_of(step, "proc/mounts"))
    assert "".join(" ".join(row) + "\n" for row in mounts) == (step / "proc/mounts").read_text()
    iomem = hardware.parse_iomem(text_of(step, "proc/iomem"))
    assert (
        "".join(f"{'  ' * d}{a:08x}-{b:08x} : {name}\n" for d, a, b, name in iomem)
        == (step / "proc/iomem").read_text()
    )


def test_stat(step):
    rows = stat.parse_stat(text_of(step, "proc/stat"))
    printed = [f"{key} {' '.join(map(str, numbers))}" for key, numbers in rows.items()]
    assert printed == loose((step / "proc/stat").read_text())
    up, idle = stat.parse_uptime(text_of(step, "proc/uptime"))
    assert f"{up / 100:.2f} {idle / 100:.2f}\n" == (step / "proc/uptime").read_text()
    load = stat.parse_loadavg(text_of(step, "proc/loadavg"))
    averages = " ".join(f"{average:.2f}" for average in load["loadavg"])
    threads = f"{load['nr_running']}/{load['nr_threads']} {load['last_pid']}"
    assert f"{averages} {threads}\n" == (step / "proc/loadavg").read_text()


def test_pressure(step):
    for path in sorted((step / "proc").glob("pressure/*")):
        rows = stat.parse_pressure(text_of(step, f"proc/pressure/{path.name}"))
        printed = "".join(
            f"{kind} avg10={ten:.2f} avg60={sixty:.2f} avg300={long:.2f} total={total}\n"
            for kind, (ten, sixty, long, total) in rows.items()
        )
        assert printed == path.read_text()


REFUSED = [
    (parse_zoneinfo, b"Node 0, zone   DMA\n  pages free     1\n        min      1\n", ":3: .*cut"),
    (parse_zoneinfo, b"      nr_free_pages 1\n", ":1: expected 'Node N"),
    (parse_zoneinfo, b"Node 0, zone   DMA\n  pages free     1x\n", ":2: expected a number, found '1x'"),
    (parse_buddyinfo, b"Node 0, zone      DMA      0      0 \n", ":1: 2 orders"),
    (parse_buddyinfo, (b"Node 0, zone DMA" + b" 1" * 11 + b"\n") * 2, ":2: .*twice"),
    (parse_pagetypeinfo, b"Node    0, zone      DMA, type    Weird 0 0 0 0 0 0 0 0 0 0 0 \n", ":1: unknown"),
    (parse_vmstat, b"nr_free_pages 12\nnr_mlock\n", ":2: expected a name and a number"),
    (parse_vmstat, b"nr_free_pages -5\n", ":1: expected a number, found '-5'"),
    (parse_vmstat, b"nr_free_pages 99999999999999999999999\n", ":1: .*out of range"),
    (parse_meminfo, b"MemTotal: 5 kB\nMemFree: 1 MB\n", ":2: expected"),
    (parse_meminfo, b"MemTotal: 5 kB\nMemTotal: 5 kB\n", ":2: .*twice"),
    (parse_slabinfo, b"slabinfo - version: 2.0\n", ":1: expected 'slabinfo - version: 2.1'"),
    (parse_swaps, b"Filename Type Size Used Priority\n/a partition 8 16 -2\n", ":2: .*4 pages used of 2"),
    (parse_list, b"3-1\n", ":1: the range 3-1"),
    (parse_list, b"0-4294967295\n", ":1: expected a list"),
    (parse_mask, b"xyz\n", ":1: expected a mask"),
    (stat.parse_uptime, b"up since noon\n", ":1: expected"),
]


@pytest.mark.parametrize(("parse", "data", "complaint"), REFUSED)
def test_refused_with_file_line_and_reason(parse, data, complaint):
    with pytest.raises(CaptureError, match=r"^proc/x" + complaint):
        parse(Text.of("proc/x", data))


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"one\ntw", "proc/x:2: the line is cut"),
        (b"one\n\xff\n", "proc/x:2: not UTF-8"),
        (b"one\ntwo\n\0\n", "proc/x:3: binary"),
    ],
)
def test_what_is_no_text(data, complaint):
    with pytest.raises(CaptureError, match=complaint):
        Text.of("proc/x", data)


def test_a_counter_below_zero_is_none():
    assert parse_vmstat(Text.of("x", b"nr_mlock 18446744073709551613\n")) == {"nr_mlock": 0}
