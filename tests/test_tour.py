"""The tour of scripts/try: at each stop, the numbers before and after."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts import tour
from tests.mounting import mounted

GIB = 1 << 20  # in kB
NAMES = r"^(?:dentry|ext4_inode_cache) +(\d+)"


@dataclass
class Numbers:
    """What the files of the mount say at one moment; kB where the file says kB, else pages."""

    meminfo: dict[str, int]
    node: list[dict[str, int]]
    pool: list[int]
    zones: dict[str, dict[str, int]]
    buddy: list[list[int]]
    vmstat: dict[str, int]
    names: int  # dentries and inodes

    @classmethod
    def of(cls, root: Path) -> Numbers:
        nodes = sorted((root / tour.NODES).glob("node[0-9]*"))
        pools = (node / "hugepages/hugepages-2048kB/nr_hugepages" for node in nodes)
        return cls(
            _labelled((root / "proc/meminfo").read_text()),
            [_labelled((node / "meminfo").read_text()) for node in nodes],
            [int(pool.read_text()) for pool in pools],
            _zones((root / "proc/zoneinfo").read_text()),
            [
                [int(n) for n in line.split()[4:]]
                for line in (root / "proc/buddyinfo").read_text().splitlines()
            ],
            _pairs((root / "proc/vmstat").read_text()),
            sum(int(n) for n in re.findall(NAMES, (root / "proc/slabinfo").read_text(), re.MULTILINE)),
        )

    @property
    def free_huge(self) -> int:
        """Free blocks that hold a huge page, counted in huge pages."""
        return sum(
            count << order - 9 for line in self.buddy for order, count in enumerate(line) if order >= 9
        )


def _labelled(text: str) -> dict[str, int]:
    return {name: int(value) for name, value in re.findall(r"(\S+): +(\d+)", text)}


def _pairs(text: str) -> dict[str, int]:
    return {name: int(value) for name, value in (line.split() for line in text.splitlines())}


def _zones(text: str) -> dict[str, dict[str, int]]:
    zones = {}
    for part in re.split(r"^(?=Node)", text, flags=re.MULTILINE)[1:]:
        nid, name = re.match(r"Node (\d+), zone +(\w+)", part).groups()
        values = re.findall(r"^ +(pages free|min|low|high|managed) +(\d+)$", part, re.MULTILINE)
        zones[f"{nid} {name}"] = {label: int(value) for label, value in values}
    return {name: zone for name, zone in zones.items() if zone.get("managed")}


def check_nodes(_before: Numbers, now: Numbers, printed: list[str]) -> None:
    assert printed[0] == "0-1\n"
    for node in now.node:
        assert 15 * GIB < node["MemTotal"] <= 16 * GIB
    assert "10 21\n" in printed[2]
    assert "21 10\n" in printed[2]


def check_zones(_before: Numbers, now: Numbers, _printed: list[str]) -> None:
    assert list(now.zones) == ["0 DMA", "0 DMA32", "0 Normal", "1 Normal"]
    for zone in now.zones.values():
        assert 0 < zone["min"] < zone["low"] < zone["high"] < zone["pages free"] <= zone["managed"]


def check_buddyinfo(_before: Numbers, now: Numbers, _printed: list[str]) -> None:
    in_blocks = sum(count << order for line in now.buddy for order, count in enumerate(line))

    assert in_blocks * 4 == now.meminfo["MemFree"] == sum(node["MemFree"] for node in now.node)
    assert in_blocks == sum(zone["pages free"] for zone in now.zones.values())


def check_kmalloc(_before: Numbers, _now: Numbers, printed: list[str]) -> None:
    caches = {line.split()[0]: [int(n) for n in line.split()[1:6]] for line in printed[1].splitlines()}

    assert {"kmalloc-8", "kmalloc-96", "kmalloc-1k", "kmalloc-8k"} <= set(caches)
    for active, total, size, per_slab, pages in caches.values():
        assert active <= total
        assert size * per_slab <= pages * 4096


def check_nr_hugepages(before: Numbers, now: Numbers, _printed: list[str]) -> None:
    assert now.meminfo["HugePages_Total"] == now.meminfo["HugePages_Free"] == 1024
    assert now.pool == [512, 512]
    assert before.meminfo["MemFree"] - now.meminfo["MemFree"] == 1024 * 2048
    assert before.free_huge - now.free_huge == 1024
    assert [node["HugePages_Total"] for node in now.node] == [512, 512]


def check_node_pool(before: Numbers, now: Numbers, printed: list[str]) -> None:
    assert now.pool == [512, 1000]
    assert printed[-1] == "1512\n"
    assert before.node[0]["MemFree"] == now.node[0]["MemFree"]
    assert before.node[1]["MemFree"] - now.node[1]["MemFree"] == 488 * 2048


def check_partial(before: Numbers, now: Numbers, printed: list[str]) -> None:
    granted = int(printed[1])

    assert 0.8 * before.meminfo["MemTotal"] < granted * 2048 < before.meminfo["MemTotal"]
    assert now.meminfo["HugePages_Total"] == 0
    returned = now.meminfo["MemFree"] - before.meminfo["MemFree"]
    assert returned == pytest.approx(1512 * 2048, rel=0.01)  # some stay on per-CPU lists


def check_fragmented(before: Numbers, now: Numbers, printed: list[str]) -> None:
    assert 0 < int(printed[3]) < 0.75 * before.free_huge
    assert now.free_huge < 0.75 * before.free_huge


def check_compact_memory(before: Numbers, now: Numbers, printed: list[str]) -> None:
    assert int(printed[4]) > before.free_huge
    assert now.vmstat["compact_isolated"] > before.vmstat["compact_isolated"]


def check_read(before: Numbers, now: Numbers, _printed: list[str]) -> None:
    cached = now.meminfo["Cached"] - before.meminfo["Cached"]

    assert 4 * GIB <= cached < 4.1 * GIB
    assert now.names - before.names >= 40_000
    assert now.meminfo["SReclaimable"] > before.meminfo["SReclaimable"]
    assert now.vmstat["nr_file_pages"] - before.vmstat["nr_file_pages"] >= 1 << 20


def check_drop_caches_1(before: Numbers, now: Numbers, _printed: list[str]) -> None:
    dropped = before.meminfo["Cached"] - now.meminfo["Cached"]

    assert dropped >= 4 * GIB
    assert now.meminfo["MemFree"] - before.meminfo["MemFree"] == pytest.approx(dropped, rel=0.02)
    assert now.names == before.names
    assert now.vmstat["drop_pagecache"] == before.vmstat["drop_pagecache"] + 1
    assert now.vmstat["drop_slab"] == before.vmstat["drop_slab"]


def check_drop_caches_2(before: Numbers, now: Numbers, _printed: list[str]) -> None:
    assert now.meminfo["Cached"] - before.meminfo["Cached"] >= 4 * GIB
    assert now.names <= before.names - 30_000
    assert now.vmstat["drop_pagecache"] == before.vmstat["drop_pagecache"]
    assert now.vmstat["drop_slab"] == before.vmstat["drop_slab"] + 1


def check_drop_caches_3(before: Numbers, now: Numbers, _printed: list[str]) -> None:
    assert before.meminfo["Cached"] - now.meminfo["Cached"] >= 4 * GIB
    assert now.names <= before.names
    assert now.vmstat["drop_pagecache"] == before.vmstat["drop_pagecache"] + 1
    assert now.vmstat["drop_slab"] == before.vmstat["drop_slab"] + 1


def check_min_free_kbytes(before: Numbers, now: Numbers, printed: list[str]) -> None:
    full = _labelled(printed[1])["MemFree"]

    assert sum(zone["min"] for zone in now.zones.values()) * 4 == pytest.approx(GIB, abs=16)
    for name, zone in now.zones.items():
        assert before.zones[name]["min"] < zone["min"] < zone["low"] < zone["high"]
        assert zone["low"] <= zone["pages free"]
    for nid in "01":  # one zone is enough: pgdat_balanced()
        zones = [zone for name, zone in now.zones.items() if name.startswith(nid) and name != "0 DMA"]
        assert any(zone["high"] <= zone["pages free"] for zone in zones)
    assert full < now.meminfo["MemFree"]
    assert now.vmstat["pgsteal_kswapd"] > before.vmstat["pgsteal_kswapd"]


def check_min_slab_ratio(_before: Numbers, _now: Numbers, printed: list[str]) -> None:
    assert printed[2] == printed[5]


def check_node_reclaim(before: Numbers, now: Numbers, printed: list[str]) -> None:
    while_full = _labelled(printed[1])

    assert while_full["SReclaimable"] < before.node[0]["SReclaimable"]
    assert now.vmstat["slabs_scanned"] > before.vmstat["slabs_scanned"]


CHECKS: dict[str, Callable[[Numbers, Numbers, list[str]], None]] = {
    name.removeprefix("check_"): check for name, check in globals().items() if name.startswith("check_")
}


def test_every_stop_is_checked() -> None:
    assert list(CHECKS) == [stop.name for stop in tour.TOUR]


def test_tour() -> None:
    with mounted("--machine", "article") as root:
        for stop in tour.TOUR:
            before = Numbers.of(root)
            printed = [tour.run(command, root) for command in stop.commands]
            CHECKS[stop.name](before, Numbers.of(root), printed)
