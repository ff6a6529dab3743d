"""The vocabulary of the tables: what a visible file, link and directory is.

A view reads a subject (the machine, a node, a pool) and never changes it. A write is one call:
it does all it is going to do or raises OSError; it returns how many bytes it took, as the
kernel's handler would.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from errno import EINVAL, EOPNOTSUPP
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

from vmfs.kernel import Feature

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

S = TypeVar("S")

DEFAULT_POLLMASK = select.POLLIN | select.POLLOUT | select.POLLRDNORM | select.POLLWRNORM


class Shape(NamedTuple):
    """What stat(2) tells of a file that is not a text."""

    size: int
    blksize: int = 4096
    blocks: int = 0


class OpenFile:
    """What one open file keeps between its calls (struct file); here, of a file that is only text.

    All of it may raise OSError. Offsets and lengths are bytes.
    """

    is_mapped = False  # its pages are cached: mmap(2) can share them
    written = 0
    """Bytes by which writes have moved a position that the file's own kernel leaves where it is."""

    def position(self, offset: int) -> int:
        """Where the file's own kernel would read, when ours reads at `offset`."""
        if offset < self.written:
            self.written = 0  # somebody has sought
        return offset - self.written

    def read(self, size: int, offset: int) -> bytes | None:  # noqa: ARG002
        """None stands for the file's text."""
        return None

    def write(self, data: bytes, offset: int) -> int | None:  # noqa: ARG002
        """The bytes taken. None stands for what the file's row does."""
        return None

    def write_page(self, data: bytes, offset: int) -> int:  # noqa: ARG002
        """A page that was written through a mapping."""
        raise OSError(EINVAL, os.strerror(EINVAL))

    def truncate(self, length: int) -> None:
        """ftruncate(2): most files have no size to be changed."""

    def fallocate(self, mode: int, offset: int, length: int) -> None:  # noqa: ARG002
        raise OSError(EOPNOTSUPP, os.strerror(EOPNOTSUPP))

    def poll(self) -> int:
        """What poll(2) answers now; what it told once it does not tell again."""
        return DEFAULT_POLLMASK

    def wakes(self) -> bool:
        """Whether there is anything that poll() did not know when it was last asked."""
        return False

    def release(self) -> None:
        """The last descriptor is closed, the last mapping gone."""


class Opener(NamedTuple):
    """Who opens a file, and how: open(2)'s flags."""

    flags: int
    root: bool
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class File(Generic[S]):
    """`write(subject, data, offset)` returns the bytes consumed; `load(subject, text)` sets the
    state from captured text, without side effects and without the range checks of a write.

    `timed`: the text also depends on the clock. `string`: a sysctl of proc_dostring(), whose read goes
    on at an offset; those of numbers come at once or not at all. `mode` 0 stands for 0444, 0644 or
    0200, by the verbs. `open` makes what a descriptor of the file keeps, where it keeps more than a text;
    `shape` tells its size, where that is not the length of the text.
    """

    name: str
    read: Callable[[S], str] | None = None
    write: Callable[[S, bytes, int], int] | None = None
    mode: int = 0
    needs: Feature = Feature.BASE
    load: Callable[[S, str], None] | None = None
    timed: bool = False
    string: bool = False
    open: Callable[[S, Opener], OpenFile] | None = None
    shape: Callable[[S], Shape] | None = None

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


class Folder(Protocol):
    """A directory whose names can change (struct inode_operations). All of it may raise OSError.

    `block_bytes` is what statfs(2) tells of the file system.
    """

    block_bytes: int

    def create(self, name: str, mode: int) -> None: ...

    def unlink(self, name: str) -> None: ...

    def rename(self, old: str, new: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Dir(Generic[S]):
    """A directory, or many: `path` may hold `{}` placeholders, filled from `each`'s first halves.

    "/sys/devices/system/node/node{}" with each -> [((0,), node0), ((1,), node1)].
    `needs` hides the whole directory. `entries` may be empty: an empty directory.
    Parents of a path exist by themselves. Links into a directory that are many (cpuN, memoryN in
    nodeN) come from `links(subject) -> [(name, target)]`, files that are many from
    `files(subject) -> [(file, what the file is about)]`. `mode`: permissions of the directory, where they
    are not those of all directories of its file system. `owner`: the uid that all in it belongs to;
    0 is the machine's root, and so is the user whose machine it is. `folder`: how its names change,
    where they can.
    """

    path: str
    entries: tuple[File[S] | Link[S], ...]
    each: Callable[[Machine], Iterable[tuple[tuple[Any, ...], S]]]
    needs: Feature = Feature.BASE
    links: Callable[[S], Iterable[tuple[str, str]]] | None = None
    files: Callable[[S], Iterable[tuple[File[Any], Any]]] | None = None
    mode: int = 0
    owner: Callable[[S], int] | None = None
    folder: Callable[[S], Folder] | None = None


def top(path: str, *entries: File[Machine] | Link[Machine], needs: Feature = Feature.BASE) -> Dir[Machine]:
    """A directory about the whole machine."""
    return Dir(path, entries, lambda machine: (((), machine),), needs)
