"""The tree as plain files, for readers that need no machine behind them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from vmfs.tree import Directory, Leaf, Tree


def export(tree: Tree, directory: str | os.PathLike[str]) -> None:
    """Every file as its text is now, with its mode; what nobody may read is empty.

    `directory` is made, or is there and empty. OSError.
    """
    target = Path(directory)
    target.mkdir(parents=True, exist_ok=True)
    if any(target.iterdir()):
        raise FileExistsError(17, "is not empty: export writes into a directory of its own", str(target))
    folders = []
    for entry in tree.walk():
        path = target / entry.path.lstrip("/")
        if isinstance(entry, Directory):
            path.mkdir(exist_ok=True)
            folders.append((path, entry.mode))
        elif isinstance(entry, Leaf):
            path.write_bytes(tree.read_bytes(entry.path) if entry.mode & 0o444 else b"")
            path.chmod(stat.S_IMODE(entry.mode))
        else:
            path.symlink_to(entry.target)
    for path, mode in reversed(folders):  # last, since most cannot be written into then
        path.chmod(stat.S_IMODE(mode))
