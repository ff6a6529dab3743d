"""Files that have a name, so that the same ones can be read again (mm/swap.c: mark_page_accessed())."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vmfs.mm import filemap, lru, workingset
from vmfs.mm.lru import Lru
from vmfs.mm.mmzone import Node, Zone
from vmfs.mm.shadow import Shadows
from vmfs.mm.vmstat import Item

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine


@dataclass(slots=True, eq=False)
class FileSet:
    """`pages` of data in `files` files, and how many of their dentries and inodes are cached.

    `shadows` are those of the pages that were reclaimed and would be refaults.
    Which dentries shrinkers free is not kept: each set loses its part.
    """

    pages: int = 0
    files: int = 0
    dentries: int = 0
    inodes: int = 0
    shadows: Shadows = field(default_factory=Shadows)

    @property
    def names(self) -> int:
        """Files and the directories they are in."""
        return self.files + filemap.directories(self.files)


def read(machine: Machine, name: str, pages: int, files: int, nid: int) -> None:
    """Files of that name are read: what is cached of them is used again, the rest comes from disk.

    Where less is read than there is, the lost pages come first: reclaim took what was read first.
    """
    known = machine.vfs.file_sets.setdefault(name, FileSet())
    new_pages, new_files = max(pages - known.pages, 0), max(files - known.files, 0)
    lost = min(known.pages - _cached(machine, known), pages - new_pages)
    _look_up_again(machine, known, min(files, known.files), lost, nid)
    refaults = _refault(machine, known, lost, nid)
    mark_page_accessed(machine, known, pages - new_pages - lost)
    filemap.read_file_pages(machine, lost, files, nid, known, refaults)
    known.pages, known.files = known.pages + new_pages, known.files + new_files
    filemap.read(machine, new_pages, new_files, nid, known)
    known.dentries = known.inodes = known.names


def _refault(machine: Machine, known: FileSet, lost: int, nid: int) -> list[workingset.Refault]:
    """Of the lost pages, those that reclaim took: what was dropped or truncated leaves no shadow."""
    shadows = known.shadows.take_oldest(lost)
    workingset.shadows_used(machine, sum(shadow.pages for shadow in shadows))
    return workingset.refault(machine, machine.node(nid), shadows, file=True, in_fault=False)


def _places(machine: Machine) -> Iterator[tuple[Node, Zone, Lru]]:
    both = (Lru.INACTIVE_FILE, Lru.ACTIVE_FILE)
    return ((node, zone, which) for node, zone in machine.zones() for which in both)


def _cached(machine: Machine, known: FileSet) -> int:
    queues = (lru.queue_of(zone, which) for _, zone, which in _places(machine))
    return sum(batch.pages for queue in queues for batch in queue if batch.files is known)


def _look_up_again(machine: Machine, known: FileSet, files: int, lost_pages: int, nid: int) -> None:
    """What was freed of the dentries and inodes of that many of the files."""
    names = files + filemap.directories(files)
    dentries, inodes = max(names - known.dentries, 0), max(names - known.inodes, 0)
    filemap.look_up(machine, min(inodes, files), dentries, inodes, min(files, lost_pages), nid)


def mark_page_accessed(machine: Machine, known: FileSet, pages: int) -> None:
    """The second read of a page activates it; with lru_gen it stays in its generation, a tier higher."""
    for node, zone, which in _places(machine):
        if pages <= 0 or machine.lru_gen.enabled:
            return
        found = lru.take(node, zone, which, pages, files=known)
        for batch in found:
            lru.add(node, zone, Lru.ACTIVE_FILE, batch)
        done = sum(batch.pages for batch in found)
        activated = done if which is Lru.INACTIVE_FILE else 0
        machine.count_event(Item.PGACTIVATE, activated)
        node.nonresident_age += activated  # workingset_activation()
        pages -= done
