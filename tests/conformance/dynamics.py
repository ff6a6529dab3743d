"""The steps with loads, repeated with control lines: which way counters moved, and how far.

Chains of steps start from a capture, since a capture does not tell which process or file a page
belongs to. After each step: every counter that moved by more than 1 % of memory moved the same way
here, and the amounts agree within 5 % of memory, or 2 % where nothing but arithmetic is involved. Loads
run on the node whose CPUs the recorder had, and then as much time passes as did there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from tests import recordings
from tests.conformance import machine, movement
from tests.conformance.agreement import Agreement
from vmfs import control
from vmfs.capture.parse_stat import parse_processor
from vmfs.capture.text import Text
from vmfs.tree import Tree

SMALL_FILES = "40M files=10000 name=small"
BIG_FILES = "384M files=6 name=big"
ONE_BIG_FILE = "64M name=big"
ONE_BIG_FILE_PAGES = 64 << 8

TRAFFIC = re.compile(r"pgfault|pgfree|pgreuse|pgalloc_.*|numa_.*")
"""Events of whoever made the recording: its processes, and what balances them over nodes."""

CHAINS = ("10 11 12", "13 14", "21 22 23 24 25 26 27 28 29 30 31 32 33 34 35", "36 37", "38", "39")
"""Steps that only make sense one after the other, each chain from the capture before its first."""


@dataclass
class Chain:
    """One machine on its way through a chain."""

    tree: Tree
    swap: str
    tasks: list[str] = field(default_factory=list)
    ends_at: int = 0  # where nobody is killed in this step: the pages a task touches till it ends by itself
    home: int | None = None  # the node on whose CPUs the loads of this step ran

    def control(self, line: str) -> None:
        control.run(self.tree, line)

    def load(self, line: str) -> None:
        self.control(line if self.home is None else f"{line} node={self.home}")

    def start(self, arguments: str) -> None:
        self.load(f"start load{len(self.tasks)} {arguments}")
        self.tasks.append(f"load{len(self.tasks)}")

    def map_anonymous(self, mebibytes: str) -> None:
        self.start(f"anon={mebibytes}M")

    def map_huge(self, count: str) -> None:
        self.start(f"huge={count}")

    def exit(self) -> None:
        while self.tasks:
            self.control(f"stop {self.tasks.pop()}")

    def run_out_of_memory(self) -> None:
        """The OOM killer ends the task, and the control line says so, unless it ended before that."""
        if self.ends_at:
            self.start(f"anon={self.ends_at << 2}K")
            self.exit()
            return
        with suppress(OSError):
            self.start("anon=99%")

    def swapon(self) -> None:
        self.control(f"swapon 1G name={self.swap}")

    def swapoff(self) -> None:
        self.control(f"swapoff {self.swap}")

    def read_small(self) -> None:
        """10,000 files of 4 KiB."""
        self.load(f"read {SMALL_FILES}")

    def read_big(self) -> None:
        self.load(f"read {BIG_FILES}")

    def reread(self) -> None:
        self.read_small()
        self.read_big()

    def read_one_big(self) -> None:
        """Once the step's settings are written."""
        self.load(f"read {ONE_BIG_FILE}")

    def nothing(self) -> None:
        """The words only explain the write behind them, or nothing is given back yet."""


LOADS: tuple[tuple[str, Callable[..., None]], ...] = (
    (r"hugetlbfs file of (\d+) huge pages mapped shared, all touched", Chain.map_huge),
    (r"hugetlbfs file of \d+ huge pages mapped shared, (\d+) touched", Chain.map_huge),
    (r"the process exits; the file stays", Chain.nothing),
    (r"the file is removed", Chain.exit),
    (r"the process exits, the file is removed", Chain.exit),
    (r"swapon a 1 GiB partition", Chain.swapon),
    (r"swapoff", Chain.swapoff),
    (r"stat and read 10000 small files", Chain.read_small),
    (r"read 6 files of 64 MiB each", Chain.read_big),
    (r"stat and read the small files and the big files again", Chain.reread),
    (r"a process maps and touches (\d+) MiB of anonymous memory", Chain.map_anonymous),
    (r"a second process maps and touches (\d+) MiB more", Chain.map_anonymous),
    (r"both processes exit", Chain.exit),
    (r"page cache is full of clean file pages", Chain.nothing),
    (r"nr_hugepages far above what memory holds", Chain.nothing),
    (r"no swap; a process .* touches more anonymous memory than there is", Chain.run_out_of_memory),
)
"""The recorder's words -> what repeats them, given the numbers in them."""


def compare(recording: Path) -> Agreement:
    agreement, others = Agreement(), recordings.again(recording)
    steps = {step.name[:2]: step for step in recordings.steps(recording)}
    for chain in CHAINS:
        numbers = [n for n in chain.split() if n in steps]
        if numbers:
            start = steps[f"{int(numbers[0]) - 1:02}"]
            _chain(start, [steps[n] for n in numbers], others, agreement)
    return agreement


def _chain(start: Path, steps: list[Path], others: list[Path], agreement: Agreement) -> None:
    chain = Chain(machine.of(start), _swap_name(steps[0].parent))
    before_ours = _counts(chain.tree.read)
    for before, step in pairwise([start, *steps]):
        rose = _rose(before, step)
        chain.tree.machine.captured_on = _processor(step)
        chain.home = _home(before, step)
        try:
            chain.ends_at = 0 if rose["oom_kill"] else rose["pgfault"]
            for action in recordings.actions(step):
                _act(chain, action)
            if step.name.startswith(PRESSURE) and _input(rose) >= ONE_BIG_FILE_PAGES:
                chain.read_one_big()
            chain.tree.machine.tick(_uptime(step) - _uptime(before))
        except OSError as error:
            agreement.judge(step.name, "actions", "done", error.strerror, agree=False)
            return
        ours = _counts(chain.tree.read)
        kernels = [_pair(before, step)]
        kernels += [
            _pair(other / before.name, other / step.name) for other in others if (other / step.name).is_dir()
        ]
        movement.directions(step.name, kernels, (before_ours, ours), agreement)
        movement.amounts(step.name, [after for _, after in kernels], ours, agreement)
        before_ours = ours


def _pair(before: Path, step: Path) -> movement.Pair:
    return _counts(_captured(before)), _counts(_captured(step))


def _input(rose: dict[str, int]) -> int:
    """Pages that were read in a step, from disk or for the second time."""
    return max(rose["pgactivate"], rose["pgpgin"] // 4)


def _rose(before: Path, step: Path) -> dict[str, int]:
    """The events of a step."""
    old, new = (_events(_captured(each)) for each in (before, step))
    return {name: count - old[name] for name, count in new.items()}


def _events(read: Callable[[str], str]) -> dict[str, int]:
    return {name: int(value) for name, value in map(str.split, read("/proc/vmstat").splitlines())}


def _processor(step: Path) -> int | None:
    """Where the recorder ran: on the lists of that CPU lies what it freed."""
    return parse_processor(Text.of("proc/self/stat", (step / "proc/self/stat").read_bytes()))


def _home(before: Path, step: Path) -> int | None:
    """The node whose CPUs took most pages of their own: there the loads of a step ran, if it had some.

    The scheduler chooses, and what they find or leave on their node differs from what others do.
    """
    old, new = (_local_node(each) for each in (before, step))
    taken = {nid: new[nid] - old[nid] for nid in new if nid in old}
    return max(taken, key=lambda nid: taken[nid]) if len(taken) > 1 else None


def _local_node(step: Path) -> dict[int, int]:
    """numastat's local_node by node: pages that went to who runs on a CPU of it."""
    files = (step / "sys/devices/system/node").glob("node[0-9]*/numastat")
    return {
        int(file.parent.name[4:]): int(re.findall(r"^local_node (\d+)", file.read_text(), re.MULTILINE)[0])
        for file in files
    }


def _uptime(step: Path) -> float:
    """Seconds: when the recorder came by that file. What kernel threads do with the time, they do here."""
    return float((step / "proc/uptime").read_text().split()[0])


def _swap_name(recording: Path) -> str:
    """The device of the recording's swap area; some recordings end before it is switched on."""
    tables = [(step / "proc/swaps").read_text().splitlines() for step in recordings.steps(recording)]
    return next((table[1].split()[0] for table in tables if len(table) > 1), "")


def _act(chain: Chain, action: recordings.Write | recordings.Load) -> None:
    if isinstance(action, recordings.Write):
        machine.write(chain.tree, action.path, action.payload)
        return
    for pattern, repeat in LOADS:
        if found := re.match(pattern, action.words):
            repeat(chain, *found.groups())
            return
    raise ValueError(f"{action.words}: no control line repeats this; see LOADS")


def _captured(step: Path) -> Callable[[str], str]:
    return lambda path: (step / path[1:]).read_text()


def _counts(read: Callable[[str], str]) -> dict[str, int]:
    """Pages (huge pages for HugePages_*) by name, of meminfo and vmstat."""
    meminfo = re.findall(r"^(\S+): +(\d+)( kB)?$", read("/proc/meminfo"), re.MULTILINE)
    counts = {name: int(value) // (4 if unit else 1) for name, value, unit in meminfo}
    vmstat = (line.split() for line in read("/proc/vmstat").splitlines())
    return counts | {name: int(value) for name, value in vmstat if not TRAFFIC.fullmatch(name)}


PRESSURE = "30"
"""The step that raises min_free_kbytes over a full page cache. Recorders differ in whether they then
read a big file, which wakes kswapd; the words of the step do not tell, what the kernel read does."""
