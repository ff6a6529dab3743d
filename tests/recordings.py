"""Recordings of real kernels: where they are, and what their tables say.

A recording is a folder of steps (`00-boot`, `01-min_free_kbytes`, ...), each a captured tree after
the `actions` it names, beside `semantics/*.tsv`: single writes and system calls with the kernel's
answers. `tests/recorded/README.md` describes the format.
"""

from __future__ import annotations

import fcntl
import hashlib
import lzma
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

RECORDED = Path(__file__).parent / "recorded"
CACHE = Path(tempfile.gettempdir()) / f"vmfs-recordings-{os.getuid()}"
NEEDED = [f"proc/{name}" for name in ("meminfo", "zoneinfo", "vmstat", "buddyinfo", "version")]
WANTED = "accepted: what scripts/record writes"


@dataclass(frozen=True, slots=True)
class Write:
    """One write(2) and the kernel's answer; an error is its name, or "" for none."""

    path: str
    payload: bytes
    open_error: str
    ret: int
    error: str


@dataclass(frozen=True, slots=True)
class Load:
    """What was done to the machine between two steps, in words."""

    words: str


@dataclass(frozen=True, slots=True)
class WriteRow:
    """A row of writes.tsv. `before` and `after` are the file's text, or None where unreadable."""

    write: Write
    before: str | None
    after: str | None
    line: int


@dataclass(frozen=True, slots=True)
class CallRow:
    """A row of root.tsv, user1000.tsv or sequences.tsv: `answer` as the probe printed it."""

    path: str
    call: str
    answer: tuple[str, ...]
    line: int


def names() -> list[str]:
    """The recordings kept in tests/recorded."""
    return sorted(p.name.removesuffix(".tar.xz") for p in RECORDED.glob("*.tar.xz"))


def again(recording: Path) -> list[Path]:
    """Recordings of the same machine, made again: where they differ, a kernel does not answer twice alike."""
    return [load(archive) for archive in sorted((RECORDED / "again").glob(f"{recording.name}-*.tar.xz"))]


class NoRecordingError(Exception):
    """What was named is none; says why in one line."""


def load(name: str | Path) -> Path:
    """The folder of a recording: by name, or the path of a folder or archive elsewhere."""
    if Path(name).is_dir():
        return _checked(name, Path(name))
    archive = Path(name) if Path(name).is_file() else RECORDED / f"{name}.tar.xz"
    if not archive.is_file():
        raise NoRecordingError(f"{name}: no such recording; tests/recorded has {', '.join(names())}")
    try:
        return _checked(name, _unpacked(archive))
    except (tarfile.TarError, EOFError, lzma.LZMAError) as error:
        why = str(error).splitlines()[0].rstrip(":")
        raise NoRecordingError(f"{name}: no archive of a recording: {why}; {WANTED}") from None


def _checked(name: str | Path, recording: Path) -> Path:
    """A comparison goes through the files that there are: without these there would be nothing to say."""
    boot = recording / "00-boot"
    if not boot.is_dir():
        raise NoRecordingError(f"{name}: no recording: it has no 00-boot; {WANTED}")
    if lacks := [path for path in NEEDED if not (boot / path).is_file()]:
        raise NoRecordingError(f"{name}: 00-boot lacks {', '.join(lacks)}; {WANTED}")
    return recording


def _unpacked(archive: Path) -> Path:
    """Unpacks once; several processes may ask at the same time, and wait for the first."""
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()[:12]
    CACHE.mkdir(mode=0o700, exist_ok=True)
    target = CACHE / digest
    with _locked(CACHE):
        if not target.is_dir():
            fresh = Path(tempfile.mkdtemp(dir=CACHE))
            try:
                _unpack(archive, fresh)
                fresh.rename(target)
            finally:
                shutil.rmtree(fresh, ignore_errors=True)
    tops = list(target.iterdir())
    return tops[0] if len(tops) == 1 else target


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _unpack(archive: Path, folder: Path) -> None:
    """Of 14,000 files some 1,200 differ: the others are further names of these, in a fifth of the time."""
    known: dict[bytes, Path] = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            path = Path(os.path.normpath(folder / member.name))
            if not path.is_relative_to(folder):
                raise tarfile.TarError(f"{member.name} is outside of it")
            if member.isdir():
                path.mkdir(parents=True, exist_ok=True)
                continue
            file = tar.extractfile(member) if member.isfile() else None
            if file is None:
                raise tarfile.TarError(f"{member.name} is neither a file nor a folder")
            path.parent.mkdir(parents=True, exist_ok=True)
            content = file.read()
            if content in known:
                path.hardlink_to(known[content])
            else:
                path.write_bytes(content)
                known[content] = path


def steps(recording: Path) -> list[Path]:
    """The step folders, in the order they were made."""
    return sorted(p for p in recording.iterdir() if re.match(r"\d\d-", p.name))


def actions(step: Path) -> list[Write | Load]:
    """What was done to reach this step from the one before; other lines are what a load printed."""
    lines = (step / "actions").read_text().splitlines()
    done = (line for line in lines if line.startswith(("write\t", "# ")))
    return [Load(line[2:]) if line.startswith("#") else _write(line.split("\t")[1:]) for line in done]


def writes_table(recording: Path) -> list[WriteRow]:
    """semantics/writes.tsv; empty where the recording has none."""
    return [_write_row(number, cells) for number, cells in _rows(recording / "semantics" / "writes.tsv")]


def syscalls_table(recording: Path, who: str) -> list[CallRow]:
    """semantics/`who`.tsv: "root", "user1000" or "sequences"."""
    rows = _rows(recording / "semantics" / f"{who}.tsv")
    return [CallRow(path, call, tuple(answer), number) for number, (path, call, *answer) in rows]


def unescape(text: str) -> bytes:
    r"""The bytes that the recorder wrote as \n, \t, \\ and \xNN; `...[N bytes]` marks a cut payload."""
    if cut := re.fullmatch(r"(.*)\.\.\.\[(\d+) bytes\]", text):
        # Only one payload is that long: blanks and a digit.
        return b" " * (int(cut[2]) - 1) + b"5"
    return re.sub(rb"\\(x[0-9a-f]{2}|.)", _unescaped, text.encode())


def _unescaped(found: re.Match[bytes]) -> bytes:
    code = found[1]
    named = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"\\": b"\\"}
    return named[code] if code in named else bytes([int(code[1:], 16)])


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    if path.exists():
        for number, line in enumerate(path.read_text().split("\n"), 1):
            if line:
                yield number, line.split("\t")


def _write(cells: list[str]) -> Write:
    path, payload, open_error, ret, error = cells
    return Write(path, unescape(payload), _error(open_error), int(ret.split("=")[1]), _error(error))


def _error(cell: str) -> str:
    """`err=0` is no error, `err=EINVAL` one."""
    value = cell.split("=")[1]
    return "" if value == "0" else value


def _write_row(number: int, cells: list[str]) -> WriteRow:
    before, after = (cell.split("=", 1)[1] for cell in cells[5:7])
    old = _content(before)
    return WriteRow(_write(cells[:5]), old, old if after == "=" else _content(after), number)


def _content(text: str) -> str | None:
    return None if text.startswith("!") else unescape(text).decode()
