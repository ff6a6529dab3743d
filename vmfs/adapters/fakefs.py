"""The tree inside pyfakefs, for tests in one process. The only module that imports it.

pyfakefs keeps a file's bytes and copies them into each stream. Here they come from the tree
whenever a stream is opened, read or rewound, and go to it whenever a stream is flushed. Who opens
a file, reads a part, moves the machine and reads on gets the rest of the new text; a mount gives
the rest of the old one. Only opens, reads, writes and names come from the tree: chmod, for one, is
pyfakefs' own.
"""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from pyfakefs.fake_file import FakeDirectory, FakeFile, FakeFileWrapper
from pyfakefs.helpers import FakeStatResult

from vmfs.tree import Directory, Leaf, Tree, calls

if TYPE_CHECKING:
    from pyfakefs.fake_filesystem import FakeFilesystem


def mount(fs: FakeFilesystem, tree: Tree, path: str = "/") -> None:
    """Show the tree at `path`, which is made if need be; what is there under another name stays."""
    if not fs.exists(path):
        fs.create_dir(path)
    for name in tree.listdir("/"):
        fs.add_object(path, _fake(fs, tree, f"/{name}"))


def _fake(fs: FakeFilesystem, tree: Tree, path: str) -> FakeFile:
    entry = tree.entry(path)
    if isinstance(entry, Directory):
        return TreeDirectory(fs, tree, entry)
    if isinstance(entry, Leaf):
        return TreeFile(fs, tree, entry)
    return FakeFile(posixpath.basename(path), entry.mode, entry.target, filesystem=fs)


class TreeDirectory(FakeDirectory):
    """A directory whose entries are made when somebody looks, and again when the topology changed."""

    def __init__(self, fs: FakeFilesystem, tree: Tree, entry: Directory) -> None:
        self._tree = tree
        self._entry = entry
        self._topology = -1
        super().__init__(posixpath.basename(entry.path), stat.S_IMODE(entry.mode), filesystem=fs)

    @property
    def entries(self) -> dict[str, Any]:
        if self._topology != self._tree.machine.topology:
            self._topology = self._tree.machine.topology
            there = {name: self._entries.get(name) for name in self._tree.listdir(self._entry.path)}
            self._entries.clear()
            status: Any = self.stat_result
            mode = status.st_mode
            status.st_mode |= stat.S_IWUSR  # pyfakefs asks its ordinary user for it
            for name, known in there.items():
                super().add_entry(known or _fake(self.filesystem, self._tree, f"{self._entry.path}/{name}"))
            status.st_mode = mode
        return self._entries

    def add_entry(self, path_object: FakeFile) -> NoReturn:
        self._refuse("mkdir" if isinstance(path_object, FakeDirectory) else "create", str(path_object.name))

    def remove_entry(self, pathname_name: str, recursive: bool = True) -> NoReturn:
        del recursive
        self._refuse("unlink", pathname_name)

    def _refuse(self, call: str, name: str) -> NoReturn:
        calls.refuse(self._tree, call, f"{self._entry.path}/{name}", self._tree.owner)


class TreeStat(FakeStatResult):
    """What os.stat() copies: the length of the text is looked up then."""

    def __init__(self, plain: FakeStatResult, size: Callable[[], int]) -> None:
        self._text_size = size
        self.__dict__.update(vars(plain))

    def copy(self) -> FakeStatResult:
        self.st_size = self._text_size()
        return super().copy()


class TreeFile(FakeFile):
    """A file whose bytes are the tree's.

    pyfakefs lets its user 0 open everything, so the tree asks once more; it cannot see whether such
    an open is for reading, and takes one that does not truncate for one.
    """

    def __init__(self, fs: FakeFilesystem, tree: Tree, entry: Leaf) -> None:
        self._tree = tree
        self._tree_path = entry.path
        self._text = b""
        self._written = b""  # what the stream held that was opened or flushed last
        self._truncated = False  # by an open whose stream is still to come
        self._version = 0
        super().__init__(posixpath.basename(entry.path), entry.mode, "", filesystem=fs)
        self.stat_result = TreeStat(self.stat_result, lambda: tree.stat(entry.path).st_size)

    @property
    def epoch(self) -> int:
        """Compared by a stream before each read: the moment to look at the tree."""
        self._refresh()
        return self._version

    @epoch.setter
    def epoch(self, _value: int) -> None:
        """The tree counts for itself."""

    @property
    def byte_contents(self) -> bytes:
        if self._truncated:
            self._truncated = False
            return b""
        self._tree.open(self._tree_path, os.O_RDONLY)
        self._written = self._text
        return self._text

    @property
    def contents(self) -> str:
        self._refresh()
        return self._text.decode("utf-8", "surrogateescape")

    @property
    def size(self) -> int:
        """What it takes of the fake disk."""
        return 0

    @size.setter
    def size(self, _value: int) -> None:
        """Truncation does nothing."""

    def set_contents(self, contents: Any, encoding: str | None = None) -> bool:
        """What a stream holds when it is flushed: what is new of it is a write."""
        self.encoding = encoding
        data = self._encode_contents(contents) or b""
        if not data:
            self._tree.open(self._tree_path, os.O_WRONLY)
            self._truncated, self._written = True, b""
        if data == self._written:
            return False
        new = data.removeprefix(self._written)
        self._written = data  # also when it is refused: closing the stream flushes it again
        self._tree.write(self._tree_path, new)
        return True

    def _refresh(self) -> None:
        leaf = self._tree.leaf(self._tree_path)
        text = self._tree.read_bytes(self._tree_path) if leaf.mode & 0o444 else b""
        if text == self._text:
            return
        self._text = text
        self._version += 1
        for stream in (s for streams in self.filesystem.open_files for s in streams or ()):
            if isinstance(stream, FakeFileWrapper) and stream.file_object is self and not stream.allow_update:
                stream._sync_io()  # noqa: SLF001 # as pyfakefs does for its own files after a flush
