"""The log of a booted machine against the boot log of the recorded one: the same lines about memory."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import recordings
from vmfs import spec
from vmfs.boot import boot

MACHINES = sorted(path.stem for path in (Path(__file__).parent / "machines").glob("*.toml"))
ABOUT_MEMORY = re.compile(
    r"(No NUMA config|Faking|Zone ranges|  (DMA|DMA32|Normal|HighMem|Device) +(\[|empty)|Movable zone"
    r"|Early mem"
    r"|  node +\d|Initmem|On node \d+, zone|Fallback|Built|Policy|Memory:|mem auto|SLUB|HugeTLB|DMA: prealloc"
    r"|Freeing (?!pci)|(Dentry|Inode|Mount\w*)[ -]cache hash|Demotion|mempolicy: Enabling"
    r"|(Kernel c|C)ommand line|Linux version)"
)


def logged(name):
    log = boot(spec.load(Path(__file__).parent / "machines" / f"{name}.toml")).log
    return [text.strip() for _, _, text in log if not text.startswith("Adding ")]


def recorded(name):
    lines = (recordings.load(name) / "meta" / "dmesg.txt").read_text().splitlines()
    return [line.partition("] ")[2] for line in lines]


def rounded(line):
    """What is free and reserved has a test of its own; the initrd is the recorder's."""
    line = re.sub(r"^Memory: \d+K/|\d+K reserved", "", line)
    return re.sub(r"(Freeing initrd memory): \d+K", r"\1", line)


@pytest.mark.parametrize("name", MACHINES)
def test_every_line_about_memory_is_as_recorded(name):
    kernel = [line.strip() for line in recorded(name) if ABOUT_MEMORY.match(line)]
    assert sorted(map(rounded, logged(name))) == sorted(map(rounded, kernel))


@pytest.mark.parametrize("name", MACHINES)
def test_memory_that_is_free_and_reserved_is_as_recorded(name):
    texts = ["\n".join(lines) for lines in (logged(name), recorded(name))]
    memory = re.compile(r"^Memory: (\d+)K/.* (\d+)K reserved[^$]*Freeing initrd memory: (\d+)K", re.MULTILINE)
    (free, reserved, initrd), kernel = (map(int, memory.search(text).groups()) for text in texts)
    kernel_free, kernel_reserved, kernel_initrd = kernel

    assert free == pytest.approx(kernel_free, rel=0.001)
    # On more than eight CPUs some pages that boot keeps for each are not found: seven on the recorded twelve.
    many = len(spec.load(Path(__file__).parent / "machines" / f"{name}.toml").cpus) > 8
    assert reserved - initrd == pytest.approx(kernel_reserved - kernel_initrd, abs=28 if many else 16)
