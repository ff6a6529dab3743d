"""The vocabulary of the tables: what a visible file, link and directory is.

A view reads a subject (the machine, a node, a pool) and never changes it. A write is one call:
it does all it is going to do or raises OSError; it returns how many bytes it took, as the
kernel's handler would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from vmfs.kernel import Feature

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class File(Generic[S]):
    """`write(subject, data, offset)` returns the bytes consumed; `load(subject, text)` sets the
    state from captured text, without side effects and without the range checks of a write.

    `timed`: the text also depends on the clock. `string`: a sysctl of proc_dostring(), whose read goes
    on at an offset; those of numbers come at once or not at all. `mode` 0 stands for 0444, 0644 or
    0200, by the verbs.
    """

    name: str
    read: Callable[[S], str] | None = None
    write: Callable[[S, bytes, int], int] | None = None
    mode: int = 0
    needs: Feature = Feature.BASE
    load: Callable[[S, str], None] | None = None
    timed: bool = False
    string: bool = False

    @property
    def permissions(self) -> int:
        if self.mode:
            return self.mode
        return (0o444 if self.read else 0) | (0o200 if self.write else 0)


@dataclass(frozen=True, slots=True)
class Link(Generic[S]):
    """A symbolic link; mode 0777."""

    name: str
    target: Callable[[S], str]
    needs: Feature = Feature.BASE


@dataclass(frozen=True, slots=True)
class Dir(Generic[S]):
    """A directory, or many: `path` may hold `{}` placeholders, filled from `each`'s first halves.

    "/sys/devices/system/node/node{}" with each -> [((0,), node0), ((1,), node1)].
    `needs` hides the whole directory. `entries` may be empty: an empty directory.
    Parents of a path exist by themselves. Links into a directory that are many (cpuN, memoryN in
    nodeN) come from `links(subject) -> [(name, target)]`, files that are many from
    `files(subject) -> [(file, what the file is about)]`. `mode`: permissions of the directory, where they
    are not those of all directories of its file system. `owner`: the uid that all in it belongs to;
    0 is the machine's root, and so is the user whose machine it is.
    """

    path: str
    entries: tuple[File[S] | Link[S], ...]
    each: Callable[[Machine], Iterable[tuple[tuple[Any, ...], S]]]
    needs: Feature = Feature.BASE
    links: Callable[[S], Iterable[tuple[str, str]]] | None = None
    files: Callable[[S], Iterable[tuple[File[Any], Any]]] | None = None
    mode: int = 0
    owner: Callable[[S], int] | None = None


def top(path: str, *entries: File[Machine] | Link[Machine], needs: Feature = Feature.BASE) -> Dir[Machine]:
    """A directory about the whole machine."""
    return Dir(path, entries, lambda machine: (((), machine),), needs)
