"""The report of the OOM killer: line by line as the recorded kernels wrote it, with the model's numbers."""

from __future__ import annotations

import re
from contextlib import suppress
from functools import cache

import pytest

from tests import recordings
from tests.conformance.machine import of
from vmfs import control, spec
from vmfs.tree import Tree
from vmfs.tree.boot import booted

RECORDED = ("article-6.1", "latest-7.2", "quad-6.12", "server-5.10", "small-6.1")
"""The other two have no report: one machine is too large to fill, one program ran out of addresses first."""


def kernel_lines(name):
    """Without times, and without stale words on the stack; the reaper speaks where the CPU is slow."""
    text = (recordings.load(name) / "39-oom" / "dmesg.txt").read_text()
    lines = [line.partition("] ")[2] for line in text.splitlines()]
    return [line for line in lines if not line.startswith((" ? ", "oom_reaper"))]


@cache
def run_out(name) -> Tree:
    """The recording's machine before the step, and a task that wants more than there is."""
    tree = of(recordings.load(name) / "38-swapoff")
    tree.write("/proc/sys/vm/overcommit_memory", "1\n")
    with suppress(OSError):
        control.run(tree, "start probe anon=200%")
    return tree


def our_lines(tree):
    return [line for record in tree.machine.log.records for line in record.text.split("\n")]


def masked(line):
    line = re.sub(r"^(Code|Hardware name): .*", r"\1: ", line)
    line = re.sub(r"Not tainted|Tainted: [A-Z ]*", "TAINT ", line)
    line = re.sub(r"\s+TAINT\s+", " TAINT ", line)
    line = re.sub(r" \([UMEHCI]+\)", "", line)
    line = re.sub(r"all_unreclaimable\? (yes|no)", "all_unreclaimable? ", line)
    line = re.sub(r"0x[0-9a-f]+|\b[0-9a-f]{16}\b", "X", line)
    return re.sub(r" *-?\d+", "N", line)


@pytest.mark.parametrize("name", RECORDED)
def test_every_line_is_as_recorded(name):
    recorded = [masked(line) for line in kernel_lines(name) if not line.startswith("Tainted: [")]
    assert [masked(line) for line in our_lines(run_out(name))] == recorded


ZONE = re.compile(r"^(?:Node (\d+) )?(\w+) free:.*", re.MULTILINE)


def cells(line):
    return {label: int(value) for label, value in re.findall(r"([\w()]+): ?(-?\d+)", line)}


def zone_lines(lines):
    """By node and name: the numbers of a zone, in kB."""
    return {(m[1], m[2]): cells(m[0]) for line in lines if (m := ZONE.match(line))}


@pytest.mark.parametrize("name", RECORDED)
def test_sizes_and_watermarks_are_those_recorded(name):
    """Boost apart, which follows the past of the free lists and is hidden in the minimum before 6.1."""
    recorded, ours = zone_lines(kernel_lines(name)), zone_lines(our_lines(run_out(name)))
    assert ours.keys() == recorded.keys()
    for zone, kernel in recorded.items():
        for low, high in (("min", "low"), ("low", "high")):
            assert ours[zone][high] - ours[zone][low] == kernel[high] - kernel[low], zone
        if "boost" in kernel:
            assert ours[zone]["min"] - ours[zone]["boost"] == kernel["min"] - kernel["boost"], zone
        for label in ("present", "managed"):
            assert ours[zone][label] == kernel[label], zone


@pytest.mark.parametrize("name", RECORDED)
def test_protections_are_those_recorded(name):
    texts = (kernel_lines(name), our_lines(run_out(name)))
    recorded, ours = ([line for line in lines if line.startswith("lowmem_reserve")] for lines in texts)
    assert ours == recorded != []


@pytest.mark.parametrize("release", ["5.10", "6.1", "6.12", "7.2"])
def test_numbers_add_up(release):
    tree = booted(spec.load("article", kernel=release))
    tree.write("/proc/sys/vm/overcommit_memory", "1\n")
    with suppress(OSError):
        control.run(tree, "start probe anon=200% node=1")
    lines = our_lines(tree)
    head, end = lines.index("Mem-Info:"), next(i for i, line in enumerate(lines) if line.startswith(" free:"))
    totals = cells(" ".join(lines[head + 1 : end + 1]))
    zones = zone_lines(lines)
    nodes = [cells(line) for line in lines if re.match(r"Node \d+ active_anon", line)]
    buddy = [
        re.findall(r"(\d+)\*(\d+)kB|= (\d+)kB", line) for line in lines if re.match(r"Node \d+ \w+: \d", line)
    ]

    assert sum(z["free"] for z in zones.values()) == totals["free"] * 4
    assert sum(z["free_pcp"] for z in zones.values()) == totals["free_pcp"] * 4
    for label in ("active_anon", "inactive_anon", "active_file", "inactive_file", "unevictable"):
        assert sum(z[label] for z in zones.values()) == sum(n[label] for n in nodes) == totals[label] * 4
    for (*sizes, total), zone in zip(buddy, zones.values(), strict=True):
        assert sum(int(n) * int(kb) for n, kb, _ in sizes) == int(total[2]) == zone["free"]


@pytest.mark.parametrize("name", RECORDED)
def test_memory_is_full_to_the_watermark(name):
    """Free pages end where the kernel's did: just below each zone's minimum and what it keeps from users."""
    recorded, ours = zone_lines(kernel_lines(name)), zone_lines(our_lines(run_out(name)))
    for zone in recorded:
        assert abs(ours[zone]["free"] - recorded[zone]["free"]) <= recorded[zone]["managed"] * 0.02 + 1024, (
            zone
        )


def victim(lines):
    """pid and kB of the line that tells of the killing."""
    found = re.search(
        r"^Out of memory: Killed process (\d+) \((\S+)\) total-vm:(\d+)kB, anon-rss:(\d+)kB",
        "\n".join(lines),
        re.MULTILINE,
    )
    return found[2], int(found[4])


@pytest.mark.parametrize("name", RECORDED)
def test_the_victim_had_what_the_kernel_s_had(name):
    recorded, ours = victim(kernel_lines(name)), victim(our_lines(run_out(name)))
    memory = run_out(name).machine.totalram_pages * 4
    assert ours[0] == recorded[0]
    assert abs(ours[1] - recorded[1]) < memory * 0.05
