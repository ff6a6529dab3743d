"""An open file: its text stays as it was until somebody starts again at the beginning."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from vmfs.tree.policy import Caller
from vmfs.views.entry import Opener, OpenFile

if TYPE_CHECKING:
    from vmfs.tree import Tree

TEXT = OpenFile()


class Handle:
    """A read at offset 0 renders anew; a read that goes on gets the rest of the same text.

    So a file read in pieces is not torn, and `vmstat 1`, which rewinds one descriptor, sees fresh
    numbers (fs/seq_file.c: seq_read_iter(), traverse()). Files that keep more by descriptor say
    themselves what their calls do.
    """

    __slots__ = ("_appends", "_caller", "_file", "_text", "_tree", "path")

    def __init__(self, tree: Tree, path: str, flags: int, caller: Caller) -> None:
        self._tree = tree
        self.path = path
        self._caller = caller
        self._appends = bool(flags & os.O_APPEND)
        self._text: bytes | None = None
        leaf = tree.leaf(path)
        opener = Opener(flags, caller.root, caller.uid, caller.gid)
        self._file = leaf.file.open(leaf.subject, opener) if leaf.file.open else TEXT

    def read(self, size: int, offset: int) -> bytes:
        if self._file is not TEXT:
            offset = self._file.position(offset)
            with self._tree.moment(self.path, self._caller):
                data = self._file.read(size, offset)
            if data is not None:
                return data
        if offset == 0 or self._text is None:
            self._text = self._tree.read_bytes(self.path)
        if offset and self._tree.leaf(self.path).at_once:
            return b""
        return self._text[offset : offset + size]

    def write(self, data: bytes, offset: int) -> int:
        """How many bytes were taken. The end of a file whose size the kernel calls 0 is its start."""
        offset = 0 if self._appends else offset
        with self._tree.moment(self.path, self._caller, changes=True):
            taken = self._file.write(data, offset)
            return self._tree.write_row(self.path, data, offset) if taken is None else taken

    def write_page(self, data: bytes, offset: int) -> int:
        """What a mapping wrote comes back from the page cache."""
        with self._tree.moment(self.path, self._caller, changes=True):
            return self._file.write_page(data, offset)

    def truncate(self, length: int) -> None:
        with self._tree.moment(self.path, self._caller, changes=True):
            self._file.truncate(length)

    def fallocate(self, mode: int, offset: int, length: int) -> None:
        with self._tree.moment(self.path, self._caller, changes=True):
            self._file.fallocate(mode, offset, length)

    def poll(self) -> int:
        """The events of poll(2) that have come; some are told once."""
        with self._tree.lock:
            return self._file.poll()

    def wakes(self) -> bool:
        """Whether a sleeper in poll(2) is to be woken."""
        return self._file.wakes()

    @property
    def is_mapped(self) -> bool:
        """Whether its pages are cached, so that they can be mapped and shared."""
        return self._file.is_mapped

    def release(self) -> None:
        """The last descriptor is closed."""
        if self._file is not TEXT:
            with self._tree.lock, self._tree.machine.acting(self._caller.current):
                self._file.release()

    close = release

    @property
    def size(self) -> int:
        return self._tree.size(self.path)
