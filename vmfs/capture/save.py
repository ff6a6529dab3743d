"""`vmfs capture`: copies what `--from` needs from this host into a directory or an archive."""

from __future__ import annotations

import io
import os
import tarfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from vmfs.capture.archive import zstandard_or_refuse
from vmfs.capture.source import FILE_BYTES
from vmfs.capture.text import CaptureError

FILES = (
    *("buddyinfo", "cmdline", "cpuinfo", "filesystems", "iomem", "loadavg", "meminfo", "mounts"),
    *("pagetypeinfo", "slabinfo", "stat", "swaps", "uptime", "version", "vmstat", "zoneinfo"),
)
"""Of /proc; zoneinfo, buddyinfo and pagetypeinfo come first, close together: see `_paths`."""
TREES = (
    "proc/pressure",
    "proc/sys/vm",
    "proc/sys/kernel",
    "proc/sys/fs",
    "sys/devices/system/node",
    "sys/kernel/mm",
)
SINGLE = (
    *(f"sys/devices/system/cpu/{name}" for name in ("online", "possible", "present")),
    *(f"sys/devices/system/memory/{name}" for name in ("auto_online_blocks", "block_size_bytes")),
)
SLAB = "sys/kernel/slab"
SLAB_FILES = ("align", "object_size", "reclaim_account")
DEPTH = 8

_WRITERS = {".tar": "w:", ".tar.gz": "w:gz", ".tgz": "w:gz", ".tar.bz2": "w:bz2", ".tar.xz": "w:xz"}
_ZST = ".tar.zst"


def save(target: str | Path, root: str | Path = "/") -> list[str]:
    """Copies the host under `root`; returns a line for each file that could not be read.

    The ending says the form: .tar, .tar.gz, .tgz, .tar.bz2, .tar.xz, .tar.zst; anything else is a
    directory, made new. Raises CaptureError; then nothing is left of an archive.
    """
    place, top = Path(target), Path(root)
    skipped: list[str] = []
    try:
        if place.exists():
            raise CaptureError(str(place), 0, "exists; name one that does not")
        with ExitStack() as stack:
            keep = _archive(stack, place) if _mode(place) else _folder(place)
            for path, data in _contents(top, skipped):
                keep(path, data)
    except OSError as error:
        raise CaptureError(str(place), 0, error.strerror or str(error)) from None
    return skipped


def _mode(place: Path) -> str | None:
    if place.name.endswith(_ZST):
        return "w|"
    return next((mode for ending, mode in _WRITERS.items() if place.name.endswith(ending)), None)


def _archive(stack: ExitStack, place: Path) -> Any:
    # A half-written archive is of no use to anybody: it is written beside its name and moved there.
    partial = place.with_name(place.name + ".partial")
    zstandard = zstandard_or_refuse(place.name) if place.name.endswith(_ZST) else None

    def finish(kind: Any, *_: object) -> None:
        partial.unlink(missing_ok=True) if kind else partial.rename(place)

    stack.push(finish)
    file: IO[bytes] = stack.enter_context(partial.open("xb"))
    if zstandard:
        file = stack.enter_context(zstandard.ZstdCompressor().stream_writer(file, closefd=False))
    tar = stack.enter_context(tarfile.open(fileobj=file, mode=_mode(place) or "w:"))  # type: ignore[call-overload]
    now = int(time.time())

    def keep(path: str, data: bytes) -> None:
        info = tarfile.TarInfo(path)
        info.size, info.mtime = len(data), now
        tar.addfile(info, io.BytesIO(data))

    return keep


def _folder(place: Path) -> Any:
    place.mkdir(parents=True)

    def keep(path: str, data: bytes) -> None:
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_bytes(data)

    return keep


def _contents(root: Path, skipped: list[str]) -> Iterator[tuple[str, bytes]]:
    # Sizes of kernel files are 0 or 4096, whatever they hold: read to the end.
    for path in _paths(root):
        try:
            with (root / path).open("rb", buffering=0) as file:
                yield path, b"".join(iter(lambda: file.read(1 << 20), b""))[:FILE_BYTES]
        except OSError as error:
            if (root / path).exists():
                skipped.append(f"{root / path}: skipped: {error.strerror}")


def _paths(root: Path) -> Iterator[str]:
    # The files whose counts belong together are read one right after the other.
    first = ("zoneinfo", "buddyinfo", "pagetypeinfo", "vmstat", "meminfo")
    yield from (f"proc/{name}" for name in (*first, *(name for name in FILES if name not in first)))
    for tree in TREES:
        yield from _readable(root, tree)
    yield from SINGLE
    yield from _slab_facts(root)


def _readable(root: Path, folder: str, depth: int = 0) -> Iterator[str]:
    # Links lead to what is copied elsewhere; files that only take writes hold nothing to copy.
    try:
        entries = sorted(os.scandir(root / folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.is_symlink() or entry.name in ("power", "uevent"):
            continue
        if entry.is_dir() and depth < DEPTH:
            yield from _readable(root, f"{folder}/{entry.name}", depth + 1)
        elif entry.is_file() and entry.stat().st_mode & 0o444:
            yield f"{folder}/{entry.name}"


def _slab_facts(root: Path) -> Iterator[str]:
    # By the names of slabinfo, many of which are links to one shared cache.
    try:
        names = sorted(entry.name for entry in os.scandir(root / SLAB))
    except OSError:
        return
    yield from (f"{SLAB}/{name}/{file}" for name in names if name[:1] != ":" for file in SLAB_FILES)
