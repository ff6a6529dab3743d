"""After each writing step, all that a formula fixes: watermarks, pools, limits, every sysctl.

Steps are replayed twice: one after the other from `00-boot`, and each from the capture before it.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from tests import recordings
from tests.conformance import machine
from tests.conformance.agreement import Agreement
from tests.conformance.zoneinfo import fixed_values

MEMINFO = ("MemTotal", "SwapTotal", "CommitLimit", "HugePages_", "Hugepagesize", "Hugetlb")
"""Starts of the lines of /proc/meminfo that no traffic moves."""

MISSING = "(no such line)"

TRAFFIC = ("full_scans", "pages_collapsed", "pages_scanned")
"""Counters below /sys/kernel/mm that khugepaged and ksmd move as time passes."""


def compare(recording: Path) -> Agreement:
    agreement = Agreement()
    steps = recordings.steps(recording)
    replay(machine.of(steps[0]), steps, agreement)
    for before, step in pairwise(steps):
        if _is_writing(step):
            _step(machine.of(before), step, agreement)
    return agreement


def replay(tree: machine.Files, steps: list[Path], agreement: Agreement) -> None:
    """The writing steps one after the other, on a machine as it was at `00-boot`."""
    for step in steps[1:21]:
        # The huge page loads of 10-14 leave no trace: what they took is given back before 15.
        if _is_writing(step):
            _step(tree, step, agreement)


def _is_writing(step: Path) -> bool:
    """01-09 and 15-20: nothing but writes, before memory is filled."""
    return step.name < "21" and all(isinstance(a, recordings.Write) for a in recordings.actions(step))


def _step(tree: machine.Files, step: Path, agreement: Agreement) -> None:
    for write in recordings.actions(step):
        assert isinstance(write, recordings.Write)
        ours = machine.write(tree, write.path, write.payload)
        agreement.equal(
            f"{step.name}{write.path}", write.payload, (write.open_error, write.ret, write.error), ours
        )
    for path in machine.files(step):
        for label, kernel, value in _fixed(path, (step / path[1:]).read_text(), machine.shown(tree, path)):
            agreement.equal(f"{step.name}{path}", label, kernel, value)


def _fixed(path: str, kernel: str, ours: str) -> list[tuple[str, str, str]]:
    """What is compared of a file: (label, the kernel's text, ours)."""
    if path == "/proc/zoneinfo":
        return _fixed_in_zoneinfo(kernel, ours)
    if path == "/proc/meminfo":
        fixed = ((a.split(":")[0], a, b) for a, b in _pairs(kernel, ours))
        return [(label, a, b) for label, a, b in fixed if label.startswith(MEMINFO) or MISSING in (a, b)]
    if path.startswith("/proc/sys/vm/") or "/hugepages/" in path:
        return [("", kernel, ours)]
    if path.startswith("/sys/kernel/mm/") and not path.endswith(TRAFFIC):
        return [("", kernel, ours)]
    return []


def _fixed_in_zoneinfo(kernel: str, ours: str) -> list[tuple[str, str, str]]:
    recorded, shown = fixed_values(kernel), fixed_values(ours)
    return [
        (label, recorded.get(label, MISSING), shown.get(label, MISSING))
        for label in recorded | shown
        if not (label.endswith(" high:") and _is_tuned(recorded))
    ]


def _is_tuned(recorded: dict[str, str]) -> bool:
    """Since 6.7 `high` follows the traffic of the CPU between high_min and high_max.

    Those releases print promo as well, so the text itself tells.
    """
    return any(label.endswith(" promo") for label in recorded)


def _pairs(kernel: str, ours: str) -> list[tuple[str, str]]:
    recorded, shown = ({line.split(":")[0]: line for line in text.splitlines()} for text in (kernel, ours))
    return [(recorded.get(label, MISSING), shown.get(label, MISSING)) for label in recorded | shown]
