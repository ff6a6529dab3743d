"""The machine around the memory: what the files of /proc and /sys say that needs no interpretation."""

from __future__ import annotations

import re

from vmfs.boot.hardware import memory_block_bytes
from vmfs.capture.context import Capture
from vmfs.capture.parse_hardware import parse_cpuinfo, parse_filesystems, parse_iomem, parse_mounts
from vmfs.capture.parse_zoneinfo import ZoneText
from vmfs.capture.text import Text
from vmfs.capture.topology import Topology
from vmfs.mm.mmzone import PAGE_SHIFT
from vmfs.mm.snapshot import Hardware
from vmfs.mm.vmalloc import VMALLOC_TOTAL_KBYTES_L4

_BLOCK_BYTES = "sys/devices/system/memory/block_size_bytes"
_NUMBERS = re.compile(r"\d{1,6}( KB)?")
_NUMBER_KEYS = ("processor", "physical id", "core id", "cache size")
"""Values of cpuinfo that the model calculates with."""


def read_hardware(
    capture: Capture, topology: Topology, meminfo: dict[str, int], zones: list[ZoneText], base: Hardware
) -> Hardware:
    """`base` stands for what is missing. Raises CaptureError."""
    cpuinfo = capture.need("proc/cpuinfo", _cpuinfo, "an ordinary CPU is shown") or base.cpuinfo
    blocks = _block_size(zones, cpuinfo) or base.memory_block_bytes
    return Hardware(
        nr_cpu_ids=topology.nr_cpu_ids,
        present_cpus=topology.present,
        online_cpus=topology.online,
        la57=meminfo.get("VmallocTotal", 0) > VMALLOC_TOTAL_KBYTES_L4,
        memory_block_bytes=capture.parse(_BLOCK_BYTES, _block_bytes) or blocks,
        version=capture.parse("proc/version", Text.only) or base.version,
        cmdline=capture.need("proc/cmdline", Text.only, "an ordinary one is shown") or base.cmdline,
        cpuinfo=cpuinfo,
        filesystems=capture.parse("proc/filesystems", parse_filesystems) or base.filesystems,
        mounts=capture.parse("proc/mounts", parse_mounts) or base.mounts,
        iomem=capture.parse("proc/iomem", parse_iomem) or base.iomem,
        possible_nodes=topology.possible_nodes,
    )


def _cpuinfo(text: Text) -> list[list[tuple[str, str]]]:
    cpus = parse_cpuinfo(text)
    for cpu in cpus:
        for key, value in cpu:
            if key in _NUMBER_KEYS and not _NUMBERS.fullmatch(value):
                raise text.error(
                    _line_of(text, key, value), f"{key}: expected a number, found {value[:40]!r}"
                )
    return cpus


def _line_of(text: Text, key: str, value: str) -> int:
    return next((n for n, line in text.numbered() if line.startswith(key) and line.endswith(value)), 0)


def _block_size(zones: list[ZoneText], cpuinfo: list[list[tuple[str, str]]]) -> int:
    """What the kernel chose for memory that ends there; 0 where that is not known."""
    top = max((zone.tail.get("start_pfn", 0) + zone.pages["spanned"] for zone in zones), default=0)
    guest = any("hypervisor" in value.split() for cpu in cpuinfo for key, value in cpu if key == "flags")
    return memory_block_bytes(top << PAGE_SHIFT, guest=guest) if top else 0


def _block_bytes(text: Text) -> int:
    # %lx without 0x
    word = text.only().strip()
    size = int(word, 16) if re.fullmatch(r"[0-9a-f]{1,10}", word) else 0
    if size < 1 << 20 or size & (size - 1):
        raise text.error(1, f"expected a power of two in hexadecimal, found {word[:40]!r}")
    return size
