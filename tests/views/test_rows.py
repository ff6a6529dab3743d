"""Tables of lines against what real kernels print: labels, their order, and the text around a number."""

import re
from pathlib import Path

import pytest

from tests import recordings
from vmfs.kernel import Arch, Feature, Kernel, release_of
from vmfs.mm.swapfile import SwapArea
from vmfs.mm.vmstat import Scope, items
from vmfs.views.proc import cpuinfo, meminfo, pressure, swaps, zoneinfo
from vmfs.views.seq import id_list, id_mask, kb_line, mangle
from vmfs.views.sys import node

NAMES = recordings.names()


def kernel_of(step: Path) -> Kernel:
    version = (step / "proc/version").read_text().removeprefix("Linux version ")
    release = release_of(version)
    assert release
    return Kernel.of(release, Arch.I386 if "686" in version.split()[0] else Arch.X86_64)


@pytest.fixture(params=NAMES)
def steps(request):
    return recordings.steps(recordings.load(request.param))


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines(keepends=True)


def numbers_of(line: str) -> int:
    return int(re.search(r":\s+(\d+)", line)[1])


def test_every_line_of_meminfo_is_a_row_in_order(steps):
    for step in steps:
        kernel = kernel_of(step)
        shown = [row for row in meminfo.ROWS if row.needs in kernel.features]
        recorded = lines(step / "proc/meminfo")
        assert [row.label for row in shown] == [line.split(":")[0] for line in recorded[: len(shown)]]
        assert [
            row.line(row.label, numbers_of(line)) for row, line in zip(shown, recorded, strict=False)
        ] == (recorded[: len(shown)])
        rest = recorded[len(shown) :]
        assert all(line.startswith("DirectMap") for line in rest)
        assert [kb_line(line.split(":")[0], numbers_of(line)) for line in rest] == rest


def test_every_line_of_node_meminfo_is_a_row_in_order(steps):
    for step in steps:
        kernel = kernel_of(step)
        shown = [row for row in node.ROWS if row.needs in kernel.features]
        for path in step.glob("sys/devices/system/node/node*/meminfo"):
            recorded = lines(path)
            prefix = " ".join(recorded[0].split(" ")[:2]) + " "
            assert [
                row.line(row.label, numbers_of(line), prefix)
                for row, line in zip(shown, recorded, strict=True)
            ] == recorded


def test_vmstat_names_and_order(steps):
    for step in steps:
        names = [item.text for item in items(kernel_of(step), *Scope)]
        assert names == [line.split(" ")[0] for line in lines(step / "proc/vmstat")]


def test_labels_of_zoneinfo_in_order(steps):
    """Everything of a populated zone that is not a counter."""
    kernel = kernel_of(steps[0])
    shown = [
        row.label
        for table in (zoneinfo.SIZES, zoneinfo.PAGESET, zoneinfo.TAIL)
        for row in table
        if row.needs in kernel.features
    ]
    text = (steps[0] / "proc/zoneinfo").read_text()
    first = text[: text.index("\nNode ", 1)]
    at = -1
    for label in shown:
        at = first.find(f"\n{label}", at + 1)
        assert at >= 0, label


def test_swaps_lines(steps):
    for step in steps:
        header, *areas = lines(step / "proc/swaps")
        assert header == swaps.HEADER
        for area in areas:
            name, kind, size, used, priority = area.split()
            assert area == swaps.line(SwapArea(name, kind, int(size) // 4, int(used) // 4, int(priority)))


def test_wide_swap_numbers_take_one_tab_less():
    area = SwapArea("/swap file", "file", 2_500_000, 2_499_999, 5)
    assert swaps.line(area) == ("/swap\\040file" + " " * 27 + "file\t\t10000000\t9999996\t\t5\n")


def test_cpuinfo_lines(steps):
    for line in lines(steps[0] / "proc/cpuinfo"):
        if line != "\n":
            key, value = line.split(":", 1)
            assert cpuinfo.line(key.rstrip("\t"), value.removesuffix("\n").removeprefix(" ")) == line


def test_pressure_has_the_files_and_lines_of_the_release(steps):
    kernel = kernel_of(steps[0])
    kinds = {"cpu": 2 if Feature.PSI_TRIGGERS in kernel.features else 1, "io": 2, "memory": 2}
    recorded = {path.name: len(lines(path)) for path in (steps[0] / "proc/pressure").iterdir()}
    assert recorded == kinds
    shown = [f.name for f in pressure.DIRS[0].entries if f.needs in kernel.features]
    assert sorted(shown) == sorted(recorded)


@pytest.mark.parametrize(
    ("ids", "text"),
    [((), ""), ((0,), "0"), ((0, 1, 2, 3, 8), "0-3,8"), ((0, 2), "0,2"), (range(1024), "0-1023")],
)
def test_id_list(ids, text):
    assert id_list(ids) == text


@pytest.mark.parametrize(
    ("ids", "bits", "text"),
    [
        ((0, 1, 2, 3), 4, "f"),
        ((), 6, "00"),
        ((4, 5), 6, "30"),
        (range(40), 40, "ff,ffffffff"),
        ((0,), 64, "00000000,00000001"),
        ((32,), 33, "1,00000000"),
    ],
)
def test_id_mask(ids, bits, text):
    assert id_mask(ids, bits) == text


def test_a_number_wider_than_its_column_moves_the_unit():
    assert kb_line("VmallocTotal", 13743895347199) == "VmallocTotal:   13743895347199 kB\n"
    assert kb_line("HardwareCorrupted", 4) == "HardwareCorrupted:     4 kB\n"
    assert kb_line("HardwareCorrupted", 1234567) == "HardwareCorrupted: 1234567 kB\n"


def test_mangle():
    assert mangle("a b\tc\nd\\e") == r"a\040b\011c\012d\134e"
