"""Files of a mounted hugetlbfs: names, sizes, contents, and when they take huge pages (fs/hugetlbfs/inode.c).

A mapping cannot be seen from outside the kernel that makes it. So it is the size that reserves pages
here, as the mapping that usually follows would, and an access to an offset that takes them. No mount
option limits a size, and there are no directories in a mount.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vmfs.mm.hugetlbfs import HugetlbFile
from vmfs.mm.mmzone import PAGE_SHIFT, PAGE_SIZE

if TYPE_CHECKING:
    from vmfs.mm.hugetlb import Hstate
    from vmfs.mm.machine import Machine


@dataclass(slots=True, eq=False)
class HugetlbInode:
    """A file of huge pages. Sizes are bytes; what it holds is kept by small page, where it is not zero."""

    file: HugetlbFile
    mode: int
    size: int = 0
    links: int = 1
    opened: int = 0
    contents: dict[int, bytes] = field(default_factory=dict)

    @property
    def page_bytes(self) -> int:
        return PAGE_SIZE << self.file.hstate.order

    @property
    def blocks(self) -> int:
        """Of 512 bytes, as stat(2) counts them."""
        return self.file.present.pages * self.page_bytes // 512

    def set_size(self, machine: Machine, size: int) -> None:
        """hugetlbfs_setattr(): what is cut off is freed, what comes reserved. NoHugePages: nothing done."""
        pages, before = size // self.page_bytes, -(-self.size // self.page_bytes)
        if pages > before:
            self.file.reserve(machine, before, pages - before, _nids(machine))
        else:
            self.file.truncate(machine, pages)
            self._forget(size, self.size)
        self.size = size
        machine.touch()

    def allocate(self, machine: Machine, offset: int, length: int, *, keep_size: bool) -> None:
        """hugetlbfs_fallocate(): every huge page of the range. NoHugePages, with those got in place."""
        first, end = offset // self.page_bytes, -(-(offset + length) // self.page_bytes)
        machine.touch()
        self.file.fault(machine, first, end - first, _nids(machine))
        if not keep_size:
            self.size = max(self.size, offset + length)

    def punch_hole(self, machine: Machine, offset: int, length: int) -> None:
        """Whole huge pages of the range are freed, with their reservations; the rest is cleared."""
        first, end = -(-offset // self.page_bytes), (offset + length) // self.page_bytes
        if end > first:
            self.file.truncate(machine, first, end - first)
        self._forget(offset, offset + length)
        machine.touch()

    def touch(self, machine: Machine, offset: int, length: int) -> None:
        """Huge pages come where none are, as far as the file goes. NoHugePages."""
        end = min(offset + length, self.size)
        if end > offset:
            first, last = offset // self.page_bytes, (end - 1) // self.page_bytes
            machine.touch()
            self.file.fault(machine, first, last - first + 1, _nids(machine))

    def read(self, size: int, offset: int) -> bytes:
        """What the pages hold, up to the end of the file."""
        end = min(offset + size, self.size)
        if end <= offset:
            return b""
        first, last = offset >> PAGE_SHIFT, (end - 1) >> PAGE_SHIFT
        zeros = bytes(PAGE_SIZE)
        held = b"".join(self.contents.get(page, zeros) for page in range(first, last + 1))
        start = offset - (first << PAGE_SHIFT)
        return held[start : start + end - offset]

    def store(self, data: bytes, offset: int) -> None:
        """Small pages that were written through a mapping."""
        first = offset >> PAGE_SHIFT
        whole = self.contents.get(first, bytes(PAGE_SIZE))[: offset - (first << PAGE_SHIFT)] + data
        for index in range(0, len(whole), PAGE_SIZE):
            page, piece = first + (index >> PAGE_SHIFT), whole[index : index + PAGE_SIZE]
            piece += self.contents.get(page, bytes(PAGE_SIZE))[len(piece) :]
            if any(piece):
                self.contents[page] = piece
            else:
                self.contents.pop(page, None)

    def _forget(self, start: int, end: int) -> None:
        first, last = -(-start // PAGE_SIZE), end >> PAGE_SHIFT
        self.contents = {page: data for page, data in self.contents.items() if not first <= page < last}

    def put(self, machine: Machine) -> None:
        """iput(): the last user of a file without a name frees its pages."""
        if not self.links and not self.opened:
            self.file.release(machine)
            machine.touch()


@dataclass(slots=True, eq=False)
class HugetlbfsMount:
    """A mount of huge pages of one size, by the name of its directory in /dev."""

    name: str
    hstate: Hstate
    inodes: dict[str, HugetlbInode] = field(default_factory=dict)
    nameless: list[HugetlbInode] = field(default_factory=list)  # removed, and still open

    def create(self, machine: Machine, name: str, mode: int) -> None:
        self.inodes[name] = HugetlbInode(HugetlbFile.create(self.hstate), mode)
        self._names_changed(machine)

    def unlink(self, machine: Machine, name: str) -> None:
        """KeyError when there is no such file."""
        inode = self.inodes.pop(name)
        inode.links = 0
        if inode.opened:
            self.nameless.append(inode)
        inode.put(machine)
        self._names_changed(machine)

    def rename(self, machine: Machine, old: str, new: str) -> None:
        """KeyError when there is no such file; one that has the new name goes."""
        inode = self.inodes.pop(old)
        if new in self.inodes:
            self.unlink(machine, new)
        self.inodes[new] = inode
        self._names_changed(machine)

    def close(self, machine: Machine, inode: HugetlbInode) -> None:
        """Nobody has it open or mapped any more who had."""
        inode.opened -= 1
        inode.put(machine)
        if not inode.opened and inode in self.nameless:
            self.nameless.remove(inode)

    def close_all(self, machine: Machine) -> None:
        for inode in [*self.inodes.values(), *self.nameless]:
            inode.opened = 0
            inode.put(machine)
        self.nameless.clear()

    def _names_changed(self, machine: Machine) -> None:
        machine.topology += 1
        machine.touch()


def mounts(machine: Machine) -> list[HugetlbfsMount]:
    """One for each size: /dev/hugepages for the default, /dev/hugepages-1G and so on for the others."""
    return [HugetlbfsMount(_name(machine, hstate), hstate) for hstate in machine.hstates]


def _name(machine: Machine, hstate: Hstate) -> str:
    if hstate is machine.default_hstate:
        return "hugepages"
    mebibytes = hstate.size_kbytes >> 10
    return f"hugepages-{mebibytes >> 10}G" if mebibytes >= 1024 else f"hugepages-{mebibytes}M"


def _nids(machine: Machine) -> list[int]:
    return [node.nid for node in machine.fallback[machine.default_nid]]
