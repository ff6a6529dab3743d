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
        others = [_by_write(recordings.writes_table(other)) for other in recordings.again(recording)]
        for row in rows:
            _row(tree, row, [other[key] for other in others if (key := _key(row)) in other], agreement)
    return agreement


def _key(row: recordings.WriteRow) -> tuple[str, bytes]:
    return row.write.path, row.write.payload


def _by_write(rows: list[recordings.WriteRow]) -> dict[tuple[str, bytes], recordings.WriteRow]:
    return {_key(row): row for row in rows}


def _row(
    tree: Tree, row: recordings.WriteRow, again: list[recordings.WriteRow], agreement: Agreement
) -> None:
    write = row.write
    before = machine.content(tree, write.path)
    answer = machine.write(tree, write.path, write.payload)
    after = machine.content(tree, write.path)
    kernel = row.before, (write.open_error, write.ret, write.error), row.after
    ours = before, answer, after
    agreement.judge(
        f"semantics/writes.tsv:{row.line} {write.path}",
        write.payload,
        kernel,
        ours,
        agree=kernel == ours,
        again=kernel[:2] == ours[:2] and _is_between(after, [row, *again]),
    )
    if row.before is not None and row.after != row.before:
        machine.write(tree, write.path, row.before.encode())


def _is_between(after: str | None, rows: list[recordings.WriteRow]) -> bool:
    """Whether the machine, recorded more than once, left numbers with this between."""
    texts = [(text or "").strip() for text in (after, *(row.after for row in rows))]
    if not all(text.isdigit() for text in texts):
        return False
    ours, *there = map(int, texts)
    return min(there) <= ours <= max(there)
