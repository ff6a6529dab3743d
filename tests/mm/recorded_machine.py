"""A machine of plain counts, as one step of a recording prints them: no page frames behind it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

from vmfs.capture.parse_meminfo import parse_meminfo
from vmfs.capture.parse_vmstat import parse_vmstat
from vmfs.capture.parse_zoneinfo import ZoneText, parse_zoneinfo
from vmfs.capture.text import Text
from vmfs.kernel import Arch, Kernel, release_of
from vmfs.mm.mmzone import PAGE_SHIFT, Node, Zone
from vmfs.mm.snapshot import Hardware, NodeState, ZoneState
from vmfs.mm.sysctl import Sysctl
from vmfs.mm.vmstat import COLUMN, Item, Scope

SYSCTLS = (
    "min_free_kbytes",
    "watermark_scale_factor",
    "percpu_pagelist_fraction",
    "percpu_pagelist_high_fraction",
    "dirty_bytes",
    "dirty_ratio",
    "dirty_background_bytes",
    "dirty_background_ratio",
    "highmem_is_dirtyable",
    "overcommit_ratio",
    "overcommit_kbytes",
)


def text(step: Path, path: str) -> Text:
    return Text.of(path, (step / path).read_bytes())


def number(step: Path, path: str) -> int:
    return int((step / path).read_text())


def pages(kbytes: int) -> int:
    return kbytes >> (PAGE_SHIFT - 10)


def cpu_list(words: str) -> tuple[int, ...]:
    spans = [part.split("-") for part in words.strip().split(",") if part]
    return tuple(cpu for span in spans for cpu in range(int(span[0]), int(span[-1]) + 1))


@dataclass
class RecordedMachine:
    """The attributes of a Machine that derived numbers are made of; counters from `counts`."""

    kernel: Kernel
    nodes: list[Node]
    sysctl: Sysctl
    hardware: Hardware
    counts: dict[Item, int] = field(default_factory=dict)
    hstates: list[SimpleNamespace] = field(default_factory=list)
    swap_areas: list[SimpleNamespace] = field(default_factory=list)
    totalram_pages: int = 0
    log: list[str] = field(default_factory=list)

    def printk(self, _level, text):
        self.log.append(text)

    def zones(self):
        return ((node, zone) for node in self.nodes for zone in node.zones)

    def global_page_state(self, item):
        return self.counts[item]


def machine_at(step: Path) -> RecordedMachine:
    """Managed pages, sysctls and CPUs of a step; nothing derived is set up."""
    zones = parse_zoneinfo(text(step, "proc/zoneinfo"))
    version = (step / "proc/version").read_text()
    release = release_of(version.split()[2])
    kernel = Kernel.of(release, Arch.I386 if "DMA32" not in {z.name for z in zones} else Arch.X86_64)
    online = tuple(int(n) for n in re.findall(r"^cpu(\d+)", (step / "proc/stat").read_text(), re.MULTILINE))
    nodes = [_node(step, zones, nid, online) for nid in sorted({z.nid for z in zones})]
    return RecordedMachine(kernel, nodes, _sysctl(step), Hardware(len(online), online, online))


def node_states(step: Path) -> list[NodeState]:
    """What the files print of stored numbers, for a capture."""
    zones = parse_zoneinfo(text(step, "proc/zoneinfo"))
    nids = sorted({z.nid for z in zones})
    return [NodeState(nid, (), (), [_state(z) for z in zones if z.nid == nid]) for nid in nids]


def memory_counts(step: Path) -> dict[Item, int]:
    """The counters behind MemAvailable, all from meminfo."""
    kbytes = parse_meminfo(text(step, "proc/meminfo"))
    return {
        Item.NR_FREE_PAGES: pages(kbytes["MemFree"]),
        Item.NR_ACTIVE_FILE: pages(kbytes["Active(file)"]),
        Item.NR_INACTIVE_FILE: pages(kbytes["Inactive(file)"]),
        Item.NR_SLAB_RECLAIMABLE: pages(kbytes["KReclaimable"]),
        Item.NR_KERNEL_MISC_RECLAIMABLE: 0,  # part of KReclaimable
    }


def vmstat(step: Path) -> dict[str, int]:
    return parse_vmstat(text(step, "proc/vmstat"))


def meminfo(step: Path) -> dict[str, int]:
    return parse_meminfo(text(step, "proc/meminfo"))


def zone_texts(step: Path) -> list[ZoneText]:
    return parse_zoneinfo(text(step, "proc/zoneinfo"))


def _sysctl(step: Path) -> Sysctl:
    vm = step / "proc/sys/vm"
    sysctl = Sysctl(**{name: int((vm / name).read_text()) for name in SYSCTLS if (vm / name).exists()})
    sysctl.lowmem_reserve_ratio = [int(word) for word in (vm / "lowmem_reserve_ratio").read_text().split()]
    return sysctl


def _node(step: Path, zones: list[ZoneText], nid: int, online: tuple[int, ...]) -> Node:
    cpulist = step / f"sys/devices/system/node/node{nid}/cpulist"
    cpus = cpu_list(cpulist.read_text()) if cpulist.exists() else online
    own = [_zone(index, z) for index, z in enumerate(z for z in zones if z.nid == nid)]
    return Node(nid, cpus, (), tuple(own))


def _zone(index: int, read: ZoneText) -> Zone:
    count = read.pages
    start = read.tail.get("start_pfn", 0)
    free = SimpleNamespace(nr_free_pages=count["free"])
    sizes = (count["spanned"], count["present"], count["managed"], 0)
    zone = Zone(read.nid, index, read.name, start, *sizes, free, None, None)
    for item, column in COLUMN.items():
        if item.scope is Scope.ZONE:
            zone.stat[column] = read.stat.get(item.text, 0)
    return zone


def _state(read: ZoneText) -> ZoneState:
    count = read.pages
    state = ZoneState(read.name, managed=count["managed"], boost=count.get("boost", 0))
    state.watermark = (count["min"], count["low"], count["high"])
    state.lowmem_reserve = tuple(read.protection)
    if read.thresholds:
        state.stat_threshold = next(iter(read.thresholds.values()))
    return state
