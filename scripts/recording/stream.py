"""What the machine sent: "PATH LENGTH\\n" and the bytes, file after file; and the archive made of it."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

from scripts.recording.faults import Fault

Files = dict[str, bytes]

COMPLETE = "complete"


def parse(data: bytes) -> Files:
    """By path. A machine that ended in the middle of a file has sent no such file."""
    files: Files = {}
    place = 0
    while (end := data.find(b"\n", place)) >= 0:
        path, length = data[place:end].decode().rsplit(" ", 1)
        place = end + 1 + int(length)
        if place > len(data):
            break
        files[path] = data[end + 1 : place]
    return files


def check(files: Files, steps: Iterable[str]) -> None:
    """Whether the machine did all it was told."""
    for step in steps:
        if f"{step}/actions" not in files:
            raise Fault(f"the machine ended before step {step} was captured")
    if COMPLETE not in files:
        raise Fault("the machine ended before its last table")


def write(files: Files, machine: str, target: Path) -> None:
    """NAME.tar.xz with the top folder NAME, in order of the paths, with no time or owner of its own."""
    name = target.name.removesuffix(".tar.xz")
    kept = {path: content for path, content in files.items() if path != COMPLETE}
    kept["meta/machine.txt"] = machine.encode()
    fresh = target.with_name(target.name + ".part")
    with tarfile.open(fresh, "w:xz", preset=9) as tar:
        for folder in sorted(_folders(kept, name)):
            tar.addfile(_member(folder, tarfile.DIRTYPE, 0o755))
        for path in sorted(kept):
            member = _member(f"{name}/{path}", tarfile.REGTYPE, 0o644)
            member.size = len(kept[path])
            tar.addfile(member, io.BytesIO(kept[path]))
    fresh.rename(target)


def _folders(files: Files, name: str) -> set[str]:
    tops = {str(parent) for path in files for parent in Path(name, path).parents}
    return tops - {"."}


def _member(path: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(path)
    member.type, member.mode = kind, mode
    return member
