"""What a path can stand for, once it has been found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vmfs.tree.index import Place
from vmfs.tree.policy import SYSCTL, Policy
from vmfs.views.entry import File


@dataclass(slots=True)
class Stat:
    """As lstat(2); bytes. The kernel's own st_size of these files is 0 or 4096: `Tree.stat()`."""

    st_mode: int
    st_nlink: int
    st_uid: int
    st_gid: int
    st_size: int
    st_blksize: int
    st_blocks: int = 0


@dataclass(slots=True, eq=False)
class Leaf:
    """A file. `text` was rendered when the machine was in the state `stamp`."""

    path: str
    mode: int
    policy: Policy
    file: File[Any]
    subject: Any
    stamp: tuple[int, int] = (-1, 0)
    text: bytes = b""
    uid: int = 0

    @property
    def at_once(self) -> bool:
        """proc_dointvec() and its kin give everything at offset 0 and nothing further on."""
        return self.policy is SYSCTL and not self.file.string


@dataclass(slots=True, eq=False)
class Symlink:
    path: str
    mode: int
    policy: Policy
    target: str
    uid: int = 0


@dataclass(slots=True, eq=False)
class Directory:
    path: str
    mode: int
    policy: Policy
    place: Place
    uid: int = 0


Entry = Leaf | Symlink | Directory
