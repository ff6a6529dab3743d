"""System calls on a mount, as root and as an ordinary user, row for row of semantics/*.tsv."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from tests import recordings
from tests.conformance import probe
from tests.conformance.agreement import Agreement
from tests.mounting import mounted


@dataclass(frozen=True, slots=True)
class Different:
    """What vmfs does not answer as the kernel does, and why; docs/differences.md says the same.

    `call` and `answer` are patterns of the row; `path` of the file.
    """

    call: str
    answer: str
    why: str
    path: str = ".*"


DIRECTORY = "/proc/sys(/vm)?"

DIFFERENT = (
    Different("mmap", "err=EIO", "fs/fuse/file.c answers ENODEV for shared maps of direct I/O itself"),
    Different("write_empty", "err=E", "the VFS ends an empty write before FUSE sees it: it returns 0"),
    Different("lseek_end", ".*", "fs/fuse/file.c: SEEK_END is st_size, the length of the text"),
    Different("lseek_cur", ".*", "follows from lseek_end"),
    Different("link", "ENOENT", "procfs refuses in the lookup, FUSE is asked after vfs_link()", DIRECTORY),
    Different("unlink", "EACCES", "may_delete() asks FUSE's permission last", DIRECTORY),
    Different(
        "read_after",
        "ret=[1-9]",
        "our choice: one read gets all that was asked for",
        ".*/(slabinfo|zoneinfo|pagetypeinfo)",
    ),
)

BY_MOUNT = {"size", "blksize", "blocks", "type"}
"""Of stat and statfs: the length is ours by contract, the others are FUSE's own."""


def compare(recording: Path) -> Agreement:
    agreement = Agreement()
    step = recordings.steps(recording)[-1]
    is_root = os.getuid() == 0
    with mounted("--from", str(step), "--clock", "manual", *(["--allow-other"] * is_root)) as mount:
        for who in ("root", "user1000") if is_root else ("user1000",):
            _compare_user(mount, recording, who, agreement)
        if not is_root:
            return agreement
        _write_table(mount, recording)
        for row in recordings.syscalls_table(recording, "sequences"):
            ours = probe.sequence(f"{mount}{row.path}", row.call)
            agreement.equal(f"semantics/sequences.tsv:{row.line} {row.path}", row.call, row.answer, ours)
    return agreement


def _write_table(mount: Path, recording: Path) -> None:
    """What the recorder did before the sequences; what it leaves behind shows in them."""
    for row in recordings.writes_table(recording):
        probe.write(f"{mount}{row.write.path}", row.write.payload)
        if row.before is not None and row.after != row.before:
            probe.write(f"{mount}{row.write.path}", row.before.encode())


def _compare_user(mount: Path, recording: Path, who: str, agreement: Agreement) -> None:
    rows = recordings.syscalls_table(recording, who)
    calls = {path: [r.call for r in group] for path, group in groupby(rows, key=lambda r: r.path)}
    made = _as_user(who, mount, calls)
    for row in rows:
        if not any(_matches(row, rule) for rule in DIFFERENT):
            kernel, ours = _common(row.answer), _common(tuple(made[row.path].get(row.call, ())))
            where = f"semantics/{who}.tsv:{row.line} {row.path}"
            agreement.equal(where, row.call, *_relative(row.call, kernel, ours))


def _matches(row: recordings.CallRow, rule: Different) -> bool:
    return bool(
        re.fullmatch(rule.call, row.call)
        and re.search(rule.answer, " ".join(row.answer))
        and re.fullmatch(rule.path, row.path)
    )


def _common(answer: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(part for part in answer if part.split("=")[0] not in BY_MOUNT)


def _relative(call: str, kernel: tuple[str, ...], ours: tuple[str, ...]) -> tuple[object, object]:
    """The length of a text that differs from machine to machine: only how much of it came counts."""
    if call in ("read_1byte_at_a_time", "read_64k", "read_after") and kernel and ours:
        return _amount(kernel[0]), _amount(ours[0])
    return kernel, ours


def _amount(part: str) -> str:
    """Nothing, one byte, or text."""
    value = int(part.split("=")[1])
    return str(value) if value < 2 else "text"


def _as_user(who: str, mount: Path, calls: dict[str, list[str]]) -> dict[str, dict[str, list[str]]]:
    """The probe in a process of its own, which may give up being root."""
    done = subprocess.run(
        [sys.executable, probe.__file__, str(mount), who],
        input=json.dumps(calls),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=120,
    )
    answers: dict[str, dict[str, list[str]]] = json.loads(done.stdout)
    return answers
