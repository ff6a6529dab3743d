"""Address translation: the sums of the textbook, misses against a simulated LRU, the file, the command."""

from __future__ import annotations

import json
import random
from collections import OrderedDict
from pathlib import Path

import pytest

from tests.small_machine import small_machine
from vmfs import spec
from vmfs.mm import tlb
from vmfs.spec import SpecError
from vmfs.spec.tlb import Tlb
from vmfs.tree import Tree

GIB = 1 << 30


@pytest.mark.parametrize(
    ("page_kbytes", "entries", "entry_bytes"), [(4, 67_108_864, GIB), (2048, 131_072, 2 << 20)]
)
def test_the_sums_of_the_textbook(page_kbytes: int, entries: int, entry_bytes: int) -> None:
    assert tlb.classic_sums(256 * GIB, page_kbytes) == (page_kbytes, entries, entry_bytes)


def simulated(weights: list[float], entries: int) -> float:
    """The miss ratio of an LRU of so many entries, once it is full."""
    accesses = random.Random(1).choices(range(len(weights)), weights, k=200_000)
    held: OrderedDict[int, None] = OrderedDict()
    missed = 0
    for number, page in enumerate(accesses):
        if page in held:
            held.move_to_end(page)
        else:
            missed += number >= len(accesses) // 2
            held[page] = None
            if len(held) > entries:
                held.popitem(last=False)
    return missed / (len(accesses) // 2)


@pytest.mark.parametrize(("pages", "entries"), [(300, 64), (5000, 64), (5000, 1500), (20_000, 2048)])
def test_misses_are_those_of_an_lru(pages: int, entries: int) -> None:
    described = Tlb(l1={4: entries}, l2={})
    zipf = [1 / rank for rank in range(1, pages + 1)]

    assert tlb.skewed(described, 4, pages).l1 == pytest.approx(simulated(zipf, entries), abs=0.01)
    assert tlb.uniform(described, 4, pages).l1 == pytest.approx(simulated([1.0] * pages, entries), abs=0.01)


def test_groups_of_ranks_are_as_good_as_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    grouped = tlb.zipf_miss_ratio.__wrapped__(100_000, 2048)
    monkeypatch.setattr(tlb, "EXACT_RANKS", 100_000)

    assert grouped == pytest.approx(tlb.zipf_miss_ratio.__wrapped__(100_000, 2048), abs=1e-5)


def test_what_fits_never_misses_and_what_has_no_entries_always() -> None:
    described = Tlb(l1={4: 16}, l2={4: 64})

    assert tlb.uniform(described, 4, 16) == tlb.skewed(described, 4, 16) == (0, 0, 0)
    assert tlb.uniform(described, 4, 64) == (0.75, 0, 0.75 * 7)
    assert tlb.uniform(described, 2048, 1) == tlb.skewed(described, 2048, 1) == (1, 1, 40)


def test_a_task_is_told_by_page_size() -> None:
    machine = small_machine((6, 12))
    machine.set_nr_hugepages(machine.default_hstate, 100)
    machine.start("db", anon=1000, file=500, huge=30)
    machine.start("java", anon=20 * 512, thp=True)
    found = json.loads(Tree(machine).read("/vmfs/tlb"))
    db, java = found["tasks"]

    assert [(s["page_kbytes"], s["pages"], s["entry_bytes"]) for s in db["sizes"]] == [
        (4, 1500, 12_000),
        (2048, 30, 240),
    ]
    assert [(s["page_kbytes"], s["pages"]) for s in java["sizes"]] == [(2048, 20)]
    assert db["page_table_bytes"] == 4096 * machine.tasks[db["pid"]].page_tables
    assert db["sizes"][0]["uniform"]["l2_miss_ratio"] == 0
    assert db["sizes"][0]["uniform"]["l1_miss_ratio"] == round(1 - 96 / 1500, 6)
    assert found["tlb"]["sizes"][1] == {
        "page_kbytes": 2048,
        "l1_entries": 32,
        "l1_reach_bytes": 64 << 20,
        "l2_entries": 1024,
        "l2_reach_bytes": 2 << 30,
    }


def test_huge_pages_cost_less() -> None:
    machine = small_machine((6, 12))
    small, huge = (
        tlb.whole(tlb.rows(machine, machine.start("x", anon=60_000, thp=thp))) for thp in (False, True)
    )

    assert huge[0] < small[0] / 4
    assert huge[1] < small[1] / 4


def described(tmp_path: Path, cpu: str) -> spec.Spec:
    file = tmp_path / "machine.toml"
    file.write_text(f'like = "article"\n[cpu]\n{cpu}\n')
    return spec.load(str(file))


def test_a_machine_describes_its_tlb(tmp_path: Path) -> None:
    found = described(tmp_path, 'model = "epyc-7763"\ntlb.l2 = { 4K = 3072 }\ntlb.walk_cycles = 55').cpu.tlb

    assert found.l1[2048] == 64  # the model's own
    assert found.l2 == {4: 3072, 2048: 2048, 4096: 2048, 1048576: 0}
    assert found.walk_cycles == 55


@pytest.mark.parametrize(
    ("cpu", "words"),
    [
        ("tlb.l1 = { 8K = 3 }", "8K; accepted: 4K, 2M, 4M, 1G"),
        ("tlb.l1 = { 4K = -1 }", "-1 entries; accepted: 0 or more"),
        ('tlb.l1 = { 4K = "many" }', "accepted: a whole number"),
        ("tlb.l3 = { 4K = 1 }", "l3: unknown key; accepted: l1, l2, l2_hit_cycles, walk_cycles"),
        ("tlb.walk_cycles = 3", "walk_cycles: 3; accepted: no less than l2_hit_cycles, 7"),
    ],
)
def test_a_wrong_description_says_what_is_accepted(tmp_path: Path, cpu: str, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        described(tmp_path, cpu)
