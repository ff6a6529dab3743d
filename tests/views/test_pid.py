"""/proc/PID of a simulated process against that of the recorder, which did the same on real kernels."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from tests import recordings
from vmfs import capture
from vmfs.mm import mmap, pgtable
from vmfs.tree import Tree

ANON = re.compile(r"touches (\d+) MiB of anonymous memory")
NODE_PAGES = re.compile(r" N(\d+)=(\d+)")
PAGE = 4096
VDSO_PAGE = 1  # of a recorded process: in no numa_maps, but its table is there

NOT_OURS = {
    *("Tgid", "Pid", "NStgid", "NSpid"),
    *("NSpgid", "NSsid", "SigIgn"),  # the recorder's shell leads the group, ignoring what & does
    *("VmHWM", "VmRSS", "RssAnon", "RssFile", "RssShmem"),  # it has touched its text and libraries too
    "VmPTE",  # depends on addresses, which are random
    "SigQ",  # of the memory that is free when the first process starts
    *("voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"),
}

SIZES_OF_THE_PROGRAM = {"VmPeak", "VmSize", "VmData", "VmExe"}
LARGER_PROGRAM = dict.fromkeys(("pair-6.1", "trio-5.10", "trio-6.1"), SIZES_OF_THE_PROGRAM | {"THP_enabled"})
"""What else is not ours where scripts/record made a recording: its program forgoes huge pages."""

PF_FORKNOEXEC = 0x40

with_process = pytest.mark.parametrize(
    "name", [n for n in recordings.names() if (recordings.load(n) / "32-anon/pid-status").exists()]
)
every = pytest.mark.parametrize("name", recordings.names())


class Probe:
    """The recorded machine before step 32, and a task that does what the recorder's process did."""

    def __init__(self, name: str) -> None:
        steps = recordings.load(name)
        self.step = steps / "32-anon"
        (before,) = steps.glob("31-*")
        self.machine, _ = capture.load(before)
        self.tree = Tree(self.machine)
        self.anon = int(ANON.search((self.step / "actions").read_text())[1]) * 256
        self.task = self.machine.start("probe", anon=self.anon, nid=self._nid())

    def _nid(self) -> int:
        """Where it ran, which nothing records: the node whose zonelist its memory follows."""
        return {"article-6.1": 1, "quad-6.12": 1, "latest-7.2": 0, "pair-6.1": 1}.get(
            self.step.parent.name, 0
        )

    def kernel(self, file: str) -> str:
        return (self.step / f"pid-{file}").read_text()

    def ours(self, file: str) -> str:
        return self.tree.read(f"/proc/{self.task.pid}/{file}")


@cache
def probe(name: str) -> Probe:
    return Probe(name)


def lines(text: str) -> dict[str, str]:
    return dict(line.split(":", 1) for line in text.splitlines())


@with_process
def test_status(name: str) -> None:
    kernel, ours = lines(probe(name).kernel("status")), lines(probe(name).ours("status"))

    other = NOT_OURS | LARGER_PROGRAM.get(name, set())

    assert list(ours) == list(kernel)
    assert {k: v for k, v in ours.items() if k not in other} == {
        k: v for k, v in kernel.items() if k not in other
    }
    assert {k: len(v) for k, v in ours.items() if k.startswith(("Vm", "Rss"))} == {
        k: len(v) for k, v in kernel.items() if k.startswith(("Vm", "Rss"))
    }


@with_process
def test_statm(name: str) -> None:
    size, resident, shared, *rest = map(int, probe(name).kernel("statm").split())
    ours = list(map(int, probe(name).ours("statm").split()))

    if name not in LARGER_PROGRAM:
        assert [ours[0], *ours[3:]] == [size, *rest]
    assert ours[1] == probe(name).anon
    assert 0 <= resident - ours[1] <= shared + 64  # and the recorder's own pages


@with_process
def test_page_tables_take_what_the_kernel_says(name: str) -> None:
    kernel, ours = (int(lines(text)["VmPTE"].split()[0]) for text in
                    (probe(name).kernel("status"), probe(name).ours("status")))  # fmt: skip

    mappings = 4 if name == "pair-6.1" else 3
    assert abs(kernel - ours) <= mappings * 4  # one table more or less for each that starts elsewhere


@pytest.mark.parametrize("name", ["server-5.10", "small-6.1", "article-6.1", "quad-6.12", "latest-7.2"])
def test_page_tables_of_the_recorded_addresses(name: str) -> None:
    spans = []
    for line in probe(name).kernel("numa_maps").splitlines():
        start, pages = int(line.split()[0], 16), sum(int(n) for _, n in NODE_PAGES.findall(line))
        if " stack " in line:
            start += (mmap.STACK_PAGES - pages) * PAGE
        spans.append((start, start + pages * PAGE, 12))
    vdso = max(s for s, e, _ in spans if s == e)
    spans = sorted([span for span in spans if span[0] < span[1]] + [(vdso, vdso + VDSO_PAGE * PAGE, 12)])
    tables = pgtable.tables(probe(name).machine.kernel, spans)

    assert f"{tables.mm_pgtables * 4} kB" == lines(probe(name).kernel("status"))["VmPTE"].strip()


@with_process
def test_smaps_rollup(name: str) -> None:
    kernel, ours = probe(name).kernel("smaps_rollup"), probe(name).ours("smaps_rollup")

    assert [line[:17] for line in ours.splitlines()[1:]] == [line[:17] for line in kernel.splitlines()[1:]]
    assert [len(line) for line in ours.splitlines()] == [len(line) for line in kernel.splitlines()]
    assert ours.splitlines()[0].split("-", 1)[0] == kernel.splitlines()[0].split("-", 1)[0]
    assert lines(ours)["Swap"] == lines(kernel)["Swap"]


@with_process
def test_numa_maps(name: str) -> None:
    """The same mappings in the same order, the anonymous one on the same nodes within 1 % of memory."""
    kernel = list(probe(name).kernel("numa_maps").splitlines())
    if not kernel:
        with pytest.raises(FileNotFoundError):
            probe(name).ours("numa_maps")
        return
    ours = probe(name).ours("numa_maps").splitlines()

    def place(text: str) -> str:
        found = re.search(r"heap|stack|file", text)
        return found[0] if found else "-"

    assert list(map(place, ours)) == list(map(place, kernel))
    theirs, mine = (
        {nid: int(n) for nid, n in NODE_PAGES.findall(max(text, key=lambda line: sum(
            int(n) for _, n in NODE_PAGES.findall(line))))}
        for text in (kernel, ours)
    )  # fmt: skip
    limit = probe(name).machine.totalram_pages / 100
    assert theirs.keys() == mine.keys()
    assert {nid: abs(n - mine[nid]) <= limit for nid, n in theirs.items()} == dict.fromkeys(theirs, True)


@with_process
def test_oom_score(name: str) -> None:
    """Within what the recorder's own pages, a thousandth at most, make of it."""
    assert abs(int(probe(name).kernel("oom_score")) - int(probe(name).ours("oom_score"))) <= 1
    assert probe(name).kernel("oom_score_adj") == probe(name).ours("oom_score_adj")


@with_process
def test_counters_of_the_machine_follow(name: str) -> None:
    """AnonPages as the kernel's, page tables within a per-CPU counter's error."""
    steps = recordings.load(name)
    (before,) = steps.glob("31-*")
    moved = {}
    for label in ("AnonPages", "PageTables"):
        old, new = (int(re.search(rf"{label}: +(\d+)", (s / "proc/meminfo").read_text())[1])
                    for s in (before, probe(name).step))  # fmt: skip
        was = int(re.search(rf"{label}: +(\d+)", (before / "proc/meminfo").read_text())[1])
        now = int(re.search(rf"{label}: +(\d+)", probe(name).tree.read("/proc/meminfo"))[1])
        moved[label] = (new - old, now - was)

    assert abs(moved["AnonPages"][0] - moved["AnonPages"][1]) <= 512
    assert abs(moved["PageTables"][0] - moved["PageTables"][1]) <= 256


# -- files of which the recordings have those of `cat` ----------------------------------------------


@cache
def booted(name: str) -> tuple[Path, Tree]:
    step = recordings.steps(recordings.load(name))[0]
    return step / "proc/self", Tree(capture.load(step)[0])


def mappings(smaps: str) -> list[tuple[str, str, dict[str, str]]]:
    """(header, permissions and name, lines) of each."""
    found = []
    for line in smaps.splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            words = line.split()
            name = words[5] if len(words) > 5 else ""
            found.append((line, f"{words[1]} {'file' if name.startswith('/') else name}", {}))
        else:
            label, _, value = line.partition(":")
            found[-1][2][label] = value
    return found


@every
def test_smaps(name: str) -> None:
    """The same mappings, but for the one that `cat` reads into; labels, widths and flags of each."""
    recorded, tree = booted(name)
    kernel = mappings((recorded / "smaps").read_text())
    ours = mappings(tree.read("/proc/1/smaps"))
    buffers = [i for i, m in enumerate(kernel) if m[1] == "rw-p " and "heap" in kernel[i - 1][0]]
    for index in buffers:
        kernel.pop(index)

    assert [m[1] for m in ours] == [m[1] for m in kernel]
    for (head, what, mine), (their_head, _, theirs) in zip(ours, kernel, strict=True):
        assert list(mine) == list(theirs), what
        assert mine["VmFlags"] == theirs["VmFlags"], what
        assert {k: len(v) for k, v in mine.items()} == {k: len(v) for k, v in theirs.items()}, what
        assert re.search(r"( +)\S*$", head).end(1) == re.search(r"( +)\S*$", their_head).end(1), what


@every
def test_maps_are_the_heads_of_smaps(name: str) -> None:
    _, tree = booted(name)
    heads = [head for head, _, _ in mappings(tree.read("/proc/1/smaps"))]

    assert tree.read("/proc/1/maps").splitlines() == heads


@every
def test_stat_has_the_fields_of_the_kernel(name: str) -> None:
    recorded, tree = booted(name)
    kernel, ours = (recorded / "stat").read_text().split(), tree.read("/proc/1/stat").split()
    same = (6, 7, 17, 18, 19, 20, 24, 37, 39, 40)  # terminal, priorities, threads, limits, signal

    assert len(ours) == len(kernel) == 52
    assert int(ours[8]) == int(kernel[8]) & ~PF_FORKNOEXEC
    assert {i: ours[i] for i in same} == {i: kernel[i] for i in same}


@every
def test_limits(name: str) -> None:
    recorded, tree = booted(name)
    pattern = re.compile(r"^(Max (processes|pending signals)).*$", re.MULTILINE)

    assert pattern.sub(r"\1", tree.read("/proc/1/limits")) == pattern.sub(
        r"\1", (recorded / "limits").read_text()
    )
