"""The lab: every command of docs/lab.md runs under `vmfs run`, prints what the page shows, and is right."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from scripts import lab

NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
MIB = 1 << 10  # in kB


@pytest.fixture(scope="module")
def found() -> list[tuple[lab.Command, str]]:
    page = lab.commands(lab.PAGE.read_text())
    return list(zip(page, lab.printed([command.text for command in page]), strict=True))


def numbers(text: str) -> list[float]:
    return [float(number) for number in NUMBER.findall(text)]


def labelled(text: str, label: str) -> list[int]:
    """The numbers of the lines that start with that label, in order."""
    return [int(n) for n in re.findall(rf"^(?:Node \d )?{re.escape(label)}:? +(\d+)", text, re.MULTILINE)]


def test_the_page_shows_what_is_printed(found):
    """The same words, and numbers near enough to read the page by: what it claims is checked below."""
    for command, output in found:
        assert NUMBER.sub("N", output).split() == NUMBER.sub("N", command.printed).split(), command.text
        for number, shown in zip(numbers(output), numbers(command.printed), strict=True):
            assert number == pytest.approx(shown, rel=0.3, abs=300), command.text


def check_nodes(texts: list[str]) -> None:
    assert "available: 2 nodes (0-1)" in texts[0]
    assert "  0:  10  21" in texts[0]
    assert labelled_row(texts[3], "numa_foreign") == labelled_row(texts[3], "numa_miss") == [0, 0]
    assert labelled_row(texts[3], "numa_hit")[1] >= 1 << 18
    miss, foreign = labelled_row(texts[5], "numa_miss"), labelled_row(texts[5], "numa_foreign")
    assert miss[0] == foreign[1] > 2 << 18
    assert miss[1] == foreign[0] == 0


def labelled_row(text: str, label: str) -> list[int]:
    return [int(n) for n in re.search(rf"^{label} +(.*)$", text, re.MULTILINE)[1].split()]


def check_zones(texts: list[str]) -> None:
    zones = {line.split()[0]: [int(n) for n in line.split()[2::2]] for line in texts[0].splitlines()}
    assert list(zones) == ["0,DMA", "0,DMA32", "0,Normal", "1,Normal"]
    for free, low, middle, high, managed in zones.values():
        assert 0 < low < middle < high < free <= managed
    assert 0 <= int(texts[2]) - int(texts[1]) < 16


def check_pages_and_the_tlb(texts: list[str]) -> None:
    assert texts[:3] == ["4096\n", "67108864 entries, 1024 MiB\n", "131072 entries, 2 MiB\n"]
    anon, tables = labelled(texts[3] + texts[5], "AnonPages"), labelled(texts[3] + texts[5], "PageTables")
    assert anon[1] - anon[0] == 4096 * MIB
    assert 8 * MIB <= tables[1] - tables[0] < 8.1 * MIB
    assert labelled(texts[8], "AnonHugePages") == [4096 * MIB]
    assert "nr_anon_transparent_hugepages 2048\n" in texts[9]


def check_huge_pages(texts: list[str]) -> None:
    before, after = labelled(texts[1] + texts[3], "MemFree")
    assert before - after == 1024 * 2 * MIB
    assert labelled(texts[3], "HugePages_Free") == labelled(texts[3], "HugePages_Total") == [1024]
    assert texts[4] == "512\n512\n"
    assert "hugetlbfs" in texts[5]
    assert re.findall(r"^none (\S+) hugetlbfs \S*pagesize=(\d+)M", texts[6], re.MULTILINE) == [
        ("/dev/hugepages", "2"),
        ("/dev/hugepages-1G", "1024"),
    ]
    assert [int(line.split()[-1]) for line in texts[7].splitlines()] == [2 << 20, 1 << 30]
    pools = [(labelled(t, "HugePages_Free")[0], labelled(t, "HugePages_Rsvd")[0]) for t in (
        texts[9], texts[11], texts[14], texts[19],
    )]  # fmt: skip
    assert pools == [(1024, 200), (974, 150), (954, 130), (1024, 0)]
    assert texts[12].startswith("100M")
    assert "Cannot allocate memory\nexit 1" in texts[15]
    assert labelled(texts[17], "HugePages_Free") == [984]
    huge_pages_and_the_tlb(texts)


def huge_pages_and_the_tlb(texts: list[str]) -> None:
    assert labelled(texts[22], "HugePages_Free") == [24]
    misses = {line.split()[1]: line for line in texts[23].splitlines() if re.match(r" +\d+ \w+ ", line)}
    assert " 0.00% " in misses["vm"]
    assert " 99.22% " in misses["small"]  # all but 2048 entries of 262,144
    few, many = (int(n) for n in re.findall(r'"page_table_bytes": (\d+)', texts[24]))
    assert few < 5 * 4096 < 512 * 4096 < many
    assert texts[26].endswith("not as many free huge pages\nexit 1\n")


def check_fragmentation(texts: list[str]) -> None:
    free = labelled(texts[1] + texts[3], "MemFree")
    assert abs(free[1] - free[0]) < 64 * MIB
    whole, broken = (
        sum(int(line.split()[-2]) + 2 * int(line.split()[-1]) for line in texts[i].splitlines())
        for i in (0, 4)
    )
    assert broken < whole / 8
    granted, compacted = int(texts[6]), int(texts[10])
    assert granted <= broken + 40  # a few come together from the per-cpu lists
    assert granted * 2 < compacted < 8000


def check_slab(texts: list[str]) -> None:
    assert "CACHE SIZE NAME" in texts[0]
    assert {line.split()[0] for line in texts[1].splitlines()} == {
        f"kmalloc-{size}" for size in ("8", "96", "512", "1k", "8k")
    }
    for name in ("dentry", "ext4_inode_cache"):
        before, after = labelled(texts[2] + texts[4], name)
        assert 40_000 <= after - before < 40_500
    assert labelled(texts[5], "Cached")[0] >= 4096 * MIB


def check_drop_caches(texts: list[str]) -> None:
    full, one, two = (texts[i] for i in (0, 2, 4))
    cached = [labelled(text, "Cached")[0] for text in (full, one, two)]
    slab = [labelled(text, "SReclaimable")[0] for text in (full, one, two)]
    assert cached[0] - cached[1] >= 4096 * MIB
    assert cached[1] == cached[2]
    assert slab[2] < slab[1] / 10
    assert labelled(full, "MemAvailable")[0] == pytest.approx(labelled(one, "MemAvailable")[0], rel=0.01)
    assert texts[7] == "drop_pagecache 2\ndrop_slab 2\n"


def check_the_vm_parameters(texts: list[str]) -> None:
    assert int(texts[0]) > 40
    assert "swappiness:60\n" in texts[1]
    assert texts[2].endswith("Invalid argument\n60\n")


def check_min_free_kbytes(texts: list[str]) -> None:
    full, raised = labelled(texts[1] + texts[4], "MemFree")
    assert 0 <= (1 << 20) - int(texts[3]) < 32
    assert full < 1 << 20 < raised
    assert labelled(texts[5], "pgsteal_kswapd")[0] > 0
    assert labelled(texts[5], "oom_kill") == [0]


def check_min_slab_ratio(texts: list[str]) -> None:
    assert texts[2] == texts[5]
    assert labelled(texts[2], "SReclaimable")[0] > 164 * MIB  # 1 % of the node
    assert labelled(texts[7], "SReclaimable")[0] < labelled(texts[2], "SReclaimable")[0] / 2
    assert labelled(texts[8], "slabs_scanned")[0] > 1_000_000


CHECKS: dict[str, Callable[[list[str]], None]] = {
    name.removeprefix("check_"): check for name, check in globals().items() if name.startswith("check_")
}


def test_every_section_is_checked(found):
    sections = dict.fromkeys(re.sub(r"\W+", "_", command.section.lower()) for command, _ in found)

    assert list(sections) == list(CHECKS)


@pytest.mark.parametrize("section", CHECKS)
def test_claims(section, found):
    CHECKS[section](
        [out for command, out in found if re.sub(r"\W+", "_", command.section.lower()) == section]
    )
