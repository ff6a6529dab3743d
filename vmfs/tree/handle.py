"""An open file: its text stays as it was until somebody starts again at the beginning."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmfs.tree import Tree


class Handle:
    """A read at offset 0 renders anew; a read that goes on gets the rest of the same text.

    So a file read in pieces is not torn, and `vmstat 1`, which rewinds one descriptor, sees fresh
    numbers (fs/seq_file.c: seq_read_iter(), traverse()).
    """

    __slots__ = ("_appends", "_text", "_tree", "path")

    def __init__(self, tree: Tree, path: str, flags: int) -> None:
        self._tree = tree
        self.path = path
        self._appends = bool(flags & os.O_APPEND)
        self._text: bytes | None = None

    def read(self, size: int, offset: int) -> bytes:
        if offset == 0 or self._text is None:
            self._text = self._tree.read_bytes(self.path)
        if offset and self._tree.leaf(self.path).at_once:
            return b""
        return self._text[offset : offset + size]

    def write(self, data: bytes, offset: int) -> int:
        """How many bytes were taken. The end of a file whose size the kernel calls 0 is its start."""
        return self._tree.write_bytes(self.path, data, 0 if self._appends else offset)

    @property
    def size(self) -> int:
        return self._tree.size(self.path)
