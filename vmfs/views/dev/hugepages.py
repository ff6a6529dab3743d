"""/dev/hugepages and its like: hugetlbfs, whose files take huge pages from the pool (fs/hugetlbfs/inode.c).

write(2) is refused, as there. mmap(2) works, shared or private: the first access to a huge page
takes it, and is SIGBUS where there is none. read(2) of a hole takes pages too, which the kernel's
does not: the two cannot be told apart here.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from errno import EINVAL, ENOENT, ENOMEM, ENOSPC, EOPNOTSUPP
from typing import TYPE_CHECKING, Any, NamedTuple

from vmfs.mm.hugetlbfs import NoHugePages
from vmfs.mm.hugetlbfs_inode import HugetlbfsMount, HugetlbInode
from vmfs.views.entry import Dir, File, Opener, OpenFile, Shape
from vmfs.views.tunable import fail

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

KEEP_SIZE, PUNCH_HOLE = 1, 2  # FALLOC_FL_*


class Named(NamedTuple):
    """A file by the mount it is in."""

    machine: Machine
    mount: HugetlbfsMount
    inode: HugetlbInode


class HugetlbOpenFile(OpenFile):
    is_mapped = True

    def __init__(self, named: Named, _opener: Opener) -> None:
        self._named = named
        self._machine, _, self._inode = named
        self._inode.opened += 1

    def read(self, size: int, offset: int) -> bytes:
        """ENOMEM makes it SIGBUS where it comes from a mapping."""
        try:
            self._inode.touch(self._machine, offset, size)
        except NoHugePages:
            raise fail(ENOMEM) from None
        return self._inode.read(size, offset)

    def write(self, data: bytes, offset: int) -> int:  # noqa: ARG002
        raise fail(EINVAL)

    def write_page(self, data: bytes, offset: int) -> int:
        self.read(len(data), offset)
        self._inode.store(data, offset)
        return len(data)

    def truncate(self, length: int) -> None:
        """EINVAL for a part of a huge page, ENOMEM where mmap(2) would have it."""
        if length % self._inode.page_bytes:
            raise fail(EINVAL)
        try:
            self._inode.set_size(self._machine, length)
        except NoHugePages:
            raise fail(ENOMEM) from None

    def fallocate(self, mode: int, offset: int, length: int) -> None:
        if mode & ~(KEEP_SIZE | PUNCH_HOLE):
            raise fail(EOPNOTSUPP)
        if mode & PUNCH_HOLE:
            self._inode.punch_hole(self._machine, offset, length)
            return
        try:
            self._inode.allocate(self._machine, offset, length, keep_size=bool(mode & KEEP_SIZE))
        except NoHugePages:
            raise fail(ENOSPC) from None

    def release(self) -> None:
        self._named.mount.close(self._machine, self._inode)


def shape(named: Named) -> Shape:
    return Shape(named.inode.size, named.inode.page_bytes, named.inode.blocks)


class Names:
    """The directory of a mount: a Folder."""

    def __init__(self, machine: Machine, mount: HugetlbfsMount) -> None:
        self._machine = machine
        self._mount = mount
        self.block_bytes = mount.hstate.size_kbytes << 10

    def create(self, name: str, mode: int) -> None:
        self._mount.create(self._machine, name, stat.S_IMODE(mode))

    def unlink(self, name: str) -> None:
        self._existing(name)
        self._mount.unlink(self._machine, name)

    def rename(self, old: str, new: str) -> None:
        self._existing(old)
        if old != new:
            self._mount.rename(self._machine, old, new)

    def _existing(self, name: str) -> None:
        if name not in self._mount.inodes:
            raise fail(ENOENT)


Subject = tuple["Machine", HugetlbfsMount]


def mounts(machine: Machine) -> Iterator[tuple[tuple[str], Subject]]:
    return (((mount.name,), (machine, mount)) for mount in machine.hugetlbfs)


def files(subject: Subject) -> Iterator[tuple[File[Any], Named]]:
    machine, mount = subject
    for name, inode in mount.inodes.items():
        row: File[Named] = File(name, mode=inode.mode or stat.S_IFREG, open=HugetlbOpenFile, shape=shape)
        yield row, Named(machine, mount, inode)


DIRS = (Dir("/dev/{}", (), mounts, files=files, folder=lambda subject: Names(*subject)),)
