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
    agreement.equal(
        f"semantics/writes.tsv:{row.line} {write.path}",
        write.payload,
        (row.before, (write.open_error, write.ret, write.error), row.after),
        (before, answer, after),
    )
    if row.before is not None and row.after != row.before:
        machine.write(tree, write.path, row.before.encode())
