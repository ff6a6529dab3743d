"""Opening a capture: a directory, or a tar archive, that holds proc/ at its top or one level down.

Nothing is unpacked and nothing is written: an archive is read once, front to back, and what may
be asked for is kept in memory. Whatever a hostile archive can carry (absolute names, `..`, links
that lead out, devices, bombs, a million members, a member twice) is refused or never touched.
"""

from __future__ import annotations

import os
import posixpath
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from vmfs.capture.archive import MEMBERS, Member, members
from vmfs.capture.text import CaptureError, Text

KEPT = (
    "proc/pressure",
    "proc/self",
    "proc/sys/vm",
    "proc/sys/kernel",
    "proc/sys/fs",
    "sys/devices/system",
    "sys/kernel/mm",
    "sys/kernel/slab",
)
"""Beside the files of proc itself: other parts of a system report are passed over."""
FILE_BYTES = 32 << 20
KEPT_BYTES = 512 << 20
DEPTH = 32
_LINKS = 16
_ENDING = re.compile(r"\.(tar(\.\w+)?|tgz)$")


def wanted(path: str) -> bool:
    """Whether a file at this path below the capture's top may ever be read."""
    folder = posixpath.dirname(path)
    return folder == "proc" or f"{folder}/".startswith(tuple(f"{kept}/" for kept in KEPT))


@dataclass(slots=True)
class Source:
    """The files of one capture by their paths below its top ("proc/meminfo").

    `files` holds the bytes, or the path of a file still to be read; `links` targets as written.
    """

    name: str
    files: dict[str, bytes | Path] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)

    def text(self, path: str) -> Text | None:
        """The file as lines, or None where the capture lacks it or holds it empty."""
        data = self._bytes(self._resolve(path))
        return Text.of(path, data) if data else None

    def paths(self, under: str) -> Iterator[str]:
        """The files below a folder, sorted; links are not followed."""
        return iter(sorted(path for path in self.files if path.startswith(under + "/")))

    def _resolve(self, path: str) -> str:
        # Follows links of the file and of the folders above it, inside the capture only.
        for _ in range(_LINKS):
            parts = path.split("/")
            heads = ("/".join(parts[:n]) for n in range(1, len(parts) + 1))
            link = next((head for head in heads if head in self.links), None)
            if link is None:
                return path
            path = _target(link, self.links[link]) + path[len(link) :]
        raise CaptureError(path, 0, f"more than {_LINKS} symbolic links, one after another")

    def _bytes(self, path: str) -> bytes:
        found = self.files.get(path, b"")
        if isinstance(found, Path):
            found = self.files[path] = _read(path, found)
        return found


def open_capture(path: str | Path) -> Source:
    """Finds the capture in a directory or archive. Raises CaptureError."""
    place = Path(path)
    try:
        return _directory(place) if place.is_dir() else _archive(place)
    except OSError as error:
        raise CaptureError(str(path), 0, error.strerror or str(error)) from None


def _target(link: str, target: str) -> str:
    path = posixpath.normpath(posixpath.join(posixpath.dirname(link), target))
    if path.startswith(("/", "../")) or path == "..":
        raise CaptureError(link, 0, f"a link to {target!r}, which leads out of the capture")
    return path


def _one(where: str, tops: list[str]) -> str:
    # The capture's top: "" or a folder's name.
    if "" in tops:
        return ""
    if len(tops) != 1:
        found = f"{len(tops)} folders hold one: {', '.join(tops[:3])} ..." if tops else "there is none"
        raise CaptureError(where, 0, f"a capture holds proc/ at its top or one level down; {found}")
    return tops[0]


def _directory(place: Path) -> Source:
    below = sorted(entry for entry in place.iterdir() if entry.is_dir() and not entry.is_symlink())
    tops = [""] * (place / "proc").is_dir() or [entry.name for entry in below if (entry / "proc").is_dir()]
    root = place / _one(str(place), tops)
    source = Source(place.resolve().name)
    for folder in ("proc", *KEPT):
        # No folder on the way may be a link: a capture is read where it lies.
        if (root / folder).resolve() == root.resolve() / folder:
            _scan(source, root, folder)
    return source


def _scan(source: Source, root: Path, path: str) -> None:
    # A folder that cannot be listed is missing, as a file that cannot be read is.
    _limit_depth(path)
    try:
        entries = sorted(os.scandir(root / path), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        name = f"{path}/{entry.name}"
        if entry.is_symlink():
            source.links[name] = str(Path(entry.path).readlink())
            _target(name, source.links[name])
        elif entry.is_dir():
            if path != "proc":
                _scan(source, root, name)
        elif entry.is_file():
            source.files[name] = Path(entry.path)
        else:
            raise CaptureError(name, 0, "a device, fifo or socket has no place in a capture")
        if len(source.files) + len(source.links) > MEMBERS:
            raise CaptureError(path, 0, f"more than {MEMBERS} files")


def _limit_depth(path: str) -> None:
    if path.count("/") >= DEPTH:
        raise CaptureError(path, 0, f"deeper than {DEPTH} directories")


def _read(path: str, place: Path) -> bytes:
    # Kernel files have the size 0: read to the end, whatever stat says. O_NONBLOCK: never wait for a
    # writer that turns up where a file was.
    try:
        fd = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise CaptureError(path, 0, "not a regular file")
            data = file.read(FILE_BYTES + 1)
    except OSError:
        return b""  # unreadable is missing: not everybody can copy every file
    if len(data) > FILE_BYTES:
        raise CaptureError(path, 0, f"larger than {FILE_BYTES >> 20} MiB")
    return data


def _archive(place: Path) -> Source:
    found: dict[str, Member] = {}
    kept = 0
    for member in members(place, _may_keep, FILE_BYTES):
        _limit_depth(member.name)
        if member.name in found:
            raise CaptureError(member.name, 0, f"is in {place.name} twice")
        found[member.name] = member
        kept += len(member.data)
        if kept > KEPT_BYTES:
            raise CaptureError(place.name, 0, f"holds more than {KEPT_BYTES >> 20} MiB below proc/ and sys/")
    top = _one(str(place), sorted({top for name in found if (top := _top(name)) is not None}))
    prefix = f"{top}/" if top else ""
    source = Source(_ENDING.sub("", place.name))
    for name, member in found.items():
        if name.startswith(prefix) and wanted(name.removeprefix(prefix)):
            _place(source, found, name.removeprefix(prefix), member)
    return source


def _top(name: str) -> str | None:
    # The folder that a file of proc/ says the capture's top is.
    first, _, rest = name.partition("/")
    return "" if first == "proc" else first if rest.startswith("proc/") else None


def _may_keep(name: str) -> bool:
    return wanted(name) or wanted(name.partition("/")[2])


def _place(source: Source, found: dict[str, Member], path: str, member: Member) -> None:
    # A hard link's data came with the first of its names.
    if member.hard:
        original = found.get(posixpath.normpath(member.target))
        if original is None or original.target:
            raise CaptureError(path, 0, f"a hard link to {member.target!r}, which is no file of the capture")
        source.files[path] = original.data
    elif member.target:
        source.links[path] = member.target
        _target(path, member.target)
    else:
        source.files[path] = member.data
