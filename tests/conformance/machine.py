"""The machine of a recorded step, and what its files answer, spelled as a recording spells it."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Protocol

from vmfs import capture
from vmfs.kernel import RELEASES, nearest, release_of
from vmfs.tree import Tree


class Handle(Protocol):
    def write(self, data: bytes, offset: int, /) -> int: ...


class Files(Protocol):
    """A Tree, or a mount of one: errors are OSError."""

    def read(self, path: str, /) -> str: ...

    def open(self, path: str, flags: int, /) -> Handle: ...


Answer = tuple[str, int, str]
"""The error of open(2), what write(2) returned, its error; an error is its name or ""."""


def of(step: Path) -> Tree:
    """The captured step as a machine whose time stands still.

    Its kernel is the known release next to the captured one, as it is: a line that came or went must not be
    taken for an option of its build.
    """
    release = nearest(
        release_of((step / "proc/version").read_text().removeprefix("Linux version ")) or RELEASES[-1]
    )
    machine, _ = capture.load(step, kernel=".".join(map(str, release)))
    return Tree(machine)


def files(step: Path) -> list[str]:
    """The paths of the captured files of a step."""
    return sorted(
        "/" + str(path.relative_to(step))
        for top in ("proc", "sys")
        for path in (step / top).rglob("*")
        if path.is_file()
    )


def shown(tree: Files, path: str) -> str:
    """The text of a file as the recorder copied it: nothing where it may not be read."""
    try:
        return tree.read(path)
    except PermissionError:
        return ""
    except OSError as error:
        return f"({name(error)})"


def content(tree: Files, path: str) -> str | None:
    """The text of a file, or None where it cannot be read."""
    try:
        return tree.read(path)
    except OSError:
        return None


def write(tree: Files, path: str, data: bytes) -> Answer:
    """open(2) and one write(2)."""
    try:
        handle = tree.open(path, os.O_WRONLY)
    except OSError as error:
        return name(error), -1, ""
    try:
        return "", handle.write(data, 0), ""
    except OSError as error:
        return "", -1, name(error)


def name(error: OSError) -> str:
    return errno.errorcode[error.errno or 0]
