"""Single writes: errno, byte count and the value after, row for row of semantics/writes.tsv.

The recorder ran the table on the machine of the last step, row after row, and wrote the old content
back after each row that had changed something.
"""

from __future__ import annotations

from pathlib import Path

from tests import recordings
from tests.conformance import machine
from tests.conformance.agreement import Agreement
from vmfs.tree import Tree

POOLS = "/proc/sys/vm/nr_hugepages"
"""Start of the names of the files that take as many huge pages as memory holds."""

PART = 0.05


def compare(recording: Path) -> Agreement:
    agreement = Agreement()
    rows = recordings.writes_table(recording)
    if rows:
        tree = machine.of(recordings.steps(recording)[-1])
        for row in rows:
            _row(tree, row, agreement)
    return agreement


def _row(tree: Tree, row: recordings.WriteRow, agreement: Agreement) -> None:
    write = row.write
    before = machine.content(tree, write.path)
    answer = machine.write(tree, write.path, write.payload)
    after = machine.content(tree, write.path)
    kernel = (row.before, (write.open_error, write.ret, write.error), row.after)
    ours = (before, answer, after)
    alike = kernel == ours or (kernel[:2] == ours[:2] and _granted_in_part(tree, row, after))
    agreement.judge(f"semantics/writes.tsv:{row.line} {write.path}", write.payload, kernel, ours, agree=alike)
    if row.before is not None and row.after != row.before:
        machine.write(tree, write.path, row.before.encode())


def _granted_in_part(tree: Tree, row: recordings.WriteRow, after: str | None) -> bool:
    """Whether both gave all the huge pages that they had, and about as many.

    A kernel's number varies from run to run: see docs/differences.md. As in the dynamic steps, it is to be
    within 5 % of memory.
    """
    payload = row.write.payload.strip()
    if not row.write.path.startswith(POOLS) or not payload.isdigit() or row.after is None or after is None:
        return False
    asked, kernel, ours = int(payload), int(row.after), int(after)
    memory = tree.machine.totalram_pages >> tree.machine.default_hstate.order
    return max(kernel, ours) < asked and abs(kernel - ours) <= memory * PART
