"""`vmfs capture`: copies what `--from` needs from this host into a directory or an archive."""

from __future__ import annotations

import io
import os
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from typing import IO, Any

from vmfs.capture.archive import zstandard_or_refuse
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
    "proc/self/stat",  # tells the CPU, on whose lists free pages are
    *(f"sys/devices/system/cpu/{name}" for name in ("online", "possible", "present")),
    *(f"sys/devices/system/memory/{name}" for name in ("auto_online_blocks", "block_size_bytes")),
)
SLAB = "sys/kernel/slab"
SLAB_FILES = ("align", "object_size", "reclaim_account")
DEPTH = 8
_PIECE = 1 << 20
_PIECES = 8192  # seq files may give one page a read
_PASSED_OVER = ("page_idle", "power", "random", "uevent")

_ZST = ".tar.zst"
_WRITERS = {
    ".tar": "w:",
    ".tar.gz": "w:gz",
    ".tgz": "w:gz",
    ".tar.bz2": "w:bz2",
    ".tar.xz": "w:xz",
    _ZST: "w|",
}
Keep = Callable[[str, bytes], None]


def save(target: str | Path, root: str | Path = "/") -> list[str]:
    """Copies the host under `root`; returns a line for each file that could not be read.

    The ending says the form: .tar, .tar.gz, .tgz, .tar.bz2, .tar.xz, .tar.zst; anything else is a
    directory, made new. Raises CaptureError; then nothing is left of an archive.
    """
    place = Path(target)
    skipped: list[str] = []
    try:
        if place.exists():
            raise CaptureError(str(place), 0, "exists; name one that does not")
        with _archive(place) if _mode(place) else _folder(place) as keep:
            for path, data in _contents(Path(root), skipped):
                keep(path, data)
    except OSError as error:
        raise CaptureError(str(place), 0, error.strerror or str(error)) from None
    return skipped


def _mode(place: Path) -> str:
    return next((mode for ending, mode in _WRITERS.items() if place.name.endswith(ending)), "")


@contextmanager
def _archive(place: Path) -> Iterator[Keep]:
    # A half-written archive is of no use: it is written beside its name and moved there.
    partial = place.with_name(f"{place.name}.partial")
    now = int(time.time())

    def keep(path: str, data: bytes) -> None:
        info = tarfile.TarInfo(path)
        info.size, info.mtime = len(data), now
        tar.addfile(info, io.BytesIO(data))

    try:
        with (
            partial.open("wb") as file,
            _packer(place, file) as packed,
            tarfile.open(fileobj=packed, mode=_mode(place)) as tar,  # type: ignore[call-overload]
        ):
            yield keep
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    partial.rename(place)


def _packer(place: Path, file: IO[bytes]) -> Any:
    if not place.name.endswith(_ZST):
        return nullcontext(file)
    return zstandard_or_refuse(place.name).ZstdCompressor().stream_writer(file, closefd=False)


@contextmanager
def _folder(place: Path) -> Iterator[Keep]:
    place.mkdir(parents=True)

    def keep(path: str, data: bytes) -> None:
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_bytes(data)

    yield keep


def _contents(root: Path, skipped: list[str]) -> Iterator[tuple[str, bytes]]:
    # Sizes of kernel files are 0 or 4096, whatever they hold: read to the end.
    for path in _paths(root):
        try:
            with (root / path).open("rb", buffering=0) as file:
                yield path, b"".join(islice(iter(lambda: file.read(_PIECE), b""), _PIECES))
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
        if entry.is_symlink() or entry.name in _PASSED_OVER:
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
