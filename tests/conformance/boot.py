"""Boot lines: every file of `00-boot` shown again, line for line, by the machine loaded from it."""

from __future__ import annotations

from difflib import SequenceMatcher
from pathlib import Path

from tests import recordings
from tests.conformance import machine, moved
from tests.conformance.agreement import Agreement

FREE_LISTS = ("/proc/buddyinfo", "/proc/pagetypeinfo")


def compare(recording: Path) -> Agreement:
    agreement = Agreement()
    step = recordings.steps(recording)[0]
    tree = machine.of(step)
    for path in machine.files(step):
        if not moved.NOT_OF_THE_MACHINE.match(path):
            kernel = (step / path[1:]).read_text().splitlines()
            ours = machine.shown(tree, path).splitlines()
            for number, old, new in _paired(kernel, ours):
                agreement.judge(path, number, old, new, agree=old == new or _moved(path, old, new))
    return agreement


def _moved(path: str, kernel: str, ours: str) -> bool:
    compare_lines = moved.free_lists_agree if path in FREE_LISTS else None
    return compare_lines(kernel, ours) if compare_lines else moved.agree(path, kernel, ours)


def _paired(kernel: list[str], ours: list[str]) -> list[tuple[int, str, str]]:
    """Line by line; where their number differs, a line that one side lacks stands against "(none)"."""
    if len(kernel) == len(ours):
        return [(number, *pair) for number, pair in enumerate(zip(kernel, ours, strict=True), 1)]
    pairs = []
    labels = [[_label(line) for line in side] for side in (kernel, ours)]
    for _, i, i_end, j, j_end in SequenceMatcher(None, *labels, autojunk=False).get_opcodes():
        for offset in range(max(i_end - i, j_end - j)):
            old = kernel[i + offset] if i + offset < i_end else "(none)"
            new = ours[j + offset] if j + offset < j_end else "(none)"
            pairs.append((min(i + offset, i_end) + 1, old, new))
    return pairs


def _label(line: str) -> str:
    """The line without its numbers, so that a value that differs does not shift the rest."""
    return "".join(c for c in line if not c.isdigit() and not c.isspace())
