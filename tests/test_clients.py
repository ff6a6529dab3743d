"""Unmodified clients read a mount and agree with the model, as vmfs/status tells it."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen
from xml.etree import ElementTree as ET

import psutil
import pytest

from tests.mounting import mounted, vmfs

PAGE = 4096
COLLECTORS = ("buddyinfo", "meminfo", "meminfo_numa", "slabinfo", "vmstat", "zoneinfo")


@dataclass
class Machine:
    """A mount and what its model says of itself."""

    root: Path
    status: dict[str, Any]

    @property
    def nodes(self) -> list[dict[str, Any]]:
        return self.status["nodes"]

    def total(self, name: str) -> int:
        return sum(node[name] for node in self.nodes)

    def text(self, path: str) -> str:
        return (self.root / path).read_text()


@pytest.fixture(scope="module", params=["article", "cxl", "octo"])
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """Two nodes, two and one without CPUs, eight; some memory in use and a pool."""
    with mounted("--machine", request.param, "--clock", "manual") as root:
        vmfs("ctl", "--at", str(root), "read 2G files=1000", "start worker anon=1G", "swapon 1G")
        (root / "proc/sys/vm/nr_hugepages").write_text("64")
        yield Machine(root, json.loads((root / "vmfs/status").read_text()))


def output(*command: str, **environment: str) -> str:
    done = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def cpu_count(cpu_list: str) -> int:
    """ "0-3,8" -> 5"""
    spans = (part.split("-") for part in cpu_list.split(",") if part)
    return sum(int(span[-1]) - int(span[0]) + 1 for span in spans)


def test_psutil(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """psutil warns of each field that it misses."""
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(machine.root / "proc"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        memory, swap = psutil.virtual_memory(), psutil.swap_memory()

    assert memory.total == machine.total("managed_pages") * PAGE
    assert memory.free == machine.total("free_pages") * PAGE
    assert memory.cached >= 2 << 30
    assert memory.available == int(re.search(r"MemAvailable: +(\d+)", machine.text("proc/meminfo"))[1]) << 10
    assert swap.total == (1 << 30) - PAGE


@pytest.fixture(scope="module")
def metrics(machine: Machine) -> dict[str, float]:
    """What prometheus-node-exporter makes of the mount: metric with labels -> value."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [
        "prometheus-node-exporter",
        f"--path.procfs={machine.root}/proc",
        f"--path.sysfs={machine.root}/sys",
        "--collector.disable-defaults",
        *(f"--collector.{name}" for name in COLLECTORS),
        f"--web.listen-address={address}",
    ]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            text = scraped(f"http://{address}/metrics")
        finally:
            process.terminate()
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def scraped(address: str) -> str:
    deadline = time.monotonic() + 30
    while True:
        try:
            with urlopen(address, timeout=30) as answer:
                return answer.read().decode()
        except URLError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@pytest.mark.parametrize("collector", COLLECTORS)
def test_node_exporter_understands(metrics: dict[str, float], collector: str) -> None:
    assert metrics[f'node_scrape_collector_success{{collector="{collector}"}}'] == 1


def test_node_exporter_agrees(machine: Machine, metrics: dict[str, float]) -> None:
    free = machine.total("free_pages")
    blocks = re.compile(r'node_buddyinfo_blocks\{.*size="(\d+)"')
    in_blocks = sum(int(n) << int(m[1]) for name, n in metrics.items() if (m := blocks.match(name)))

    assert metrics["node_memory_MemFree_bytes"] == free * PAGE
    assert metrics["node_memory_HugePages_Total"] == 64
    assert in_blocks == free
    for node in machine.nodes:
        nid = node["node"]
        assert metrics[f'node_memory_numa_MemFree{{node="{nid}"}}'] == node["free_pages"] * PAGE
        for zone in node["zones"]:
            labels = f'{{node="{nid}",zone="{zone["zone"]}"}}'
            assert metrics[f"node_zoneinfo_nr_free_pages{labels}"] == zone["free_pages"]
            assert metrics[f"node_zoneinfo_managed_pages{labels}"] == zone["managed_pages"]
            assert metrics[f"node_zoneinfo_high_pages{labels}"] == zone["high_pages"]
    pgfault = int(re.search(r"^pgfault (\d+)", machine.text("proc/vmstat"), re.MULTILINE)[1])
    assert metrics["node_vmstat_pgfault"] == pgfault
    dentries = int(re.search(r"^dentry +(\d+)", machine.text("proc/slabinfo"), re.MULTILINE)[1])
    assert metrics['node_slabinfo_active_objects{slab="dentry"}'] == dentries


def test_lscpu(machine: Machine) -> None:
    rows = json.loads(output("lscpu", "-s", str(machine.root), "-J"))["lscpu"]
    said = {row["field"]: row["data"] for row in rows}

    assert int(said["NUMA node(s):"]) == len(machine.nodes)
    assert int(said["CPU(s):"]) == sum(cpu_count(node["cpus"]) for node in machine.nodes)
    for node in machine.nodes:
        assert (said[f"NUMA node{node['node']} CPU(s):"] or "") == node["cpus"]


def test_lsmem(machine: Machine) -> None:
    ranges = json.loads(output("lsmem", "--sysroot", str(machine.root), "-b", "-J"))["memory"]
    online = sum(row["size"] for row in ranges if row["state"] == "online")
    block = int(machine.text("sys/devices/system/memory/block_size_bytes"), 16)

    # The block that holds the hole below 4 GiB, and what firmware keeps of the first, count whole.
    assert machine.total("present_pages") * PAGE <= online
    assert online <= machine.total("present_pages") * PAGE + 2 * block


def test_hwloc(machine: Machine) -> None:
    root = {"HWLOC_FSROOT": str(machine.root), "HWLOC_THISSYSTEM": "0"}
    tree = ET.fromstring(output("lstopo-no-graphics", "--of", "xml", "-", **root))
    found = {
        int(item.attrib["os_index"]): int(item.attrib["local_memory"])
        for item in tree.iter("object")
        if item.attrib["type"] == "NUMANode"
    }

    assert len([item for item in tree.iter("object") if item.attrib["type"] == "PU"]) == sum(
        cpu_count(node["cpus"]) for node in machine.nodes
    )
    assert found == {node["node"]: node["managed_pages"] * PAGE for node in machine.nodes}


def test_busybox_cat(machine: Machine) -> None:
    """It copies with sendfile(2), which asks for the size first."""
    path = machine.root / "proc/meminfo"

    assert output("busybox", "cat", str(path)) == path.read_text()
