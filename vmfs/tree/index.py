"""From a path to the rows of the tables: directories as a tree of path segments.

A `Dir` with `{}` in its path stands for as many directories as its `each` yields. They are named
when a path first asks for them and kept until the machine's topology changes, so 32768 memory
blocks cost nothing to whoever reads meminfo.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from stat import S_IFDIR, S_IFLNK, S_IFREG
from typing import TYPE_CHECKING, Any

from vmfs.views.entry import Dir, File, Folder, Link

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

Key = tuple[str, ...]
"""The segments of a path that stand for `{}`, in order: ("node0", "hugepages-2048kB")."""

PLACEHOLDER = "{}"


class Table:
    """One `Dir` on one machine; its placeholders are filled in at the first question."""

    def __init__(self, source: Dir[Any], machine: Machine) -> None:
        self.source = source
        self.machine = machine
        self.templates = [s for s in source.path.split("/") if PLACEHOLDER in s]
        self.forget()

    def forget(self) -> None:
        self._subjects: dict[Key, Any] | None = None
        self._names: list[dict[Key, dict[str, None]]] = []
        self._links: dict[Key, dict[str, str]] = {}
        self._files: dict[Key, dict[str, tuple[File[Any], Any]]] = {}

    @property
    def subjects(self) -> dict[Key, Any]:
        if self._subjects is None:
            self._subjects = {self._key(parts): s for parts, s in self.source.each(self.machine)}
            self._names = [{} for _ in self.templates]
            for key in self._subjects:
                for depth, name in enumerate(key):
                    self._names[depth].setdefault(key[:depth], {})[name] = None
        return self._subjects

    def names(self, key: Key) -> dict[str, None]:
        """The names that may follow `key`, where the path has its next placeholder."""
        return self._names[len(key)].get(key, {}) if self.subjects else {}

    def has(self, key: Key) -> bool:
        """Whether a directory of the table is at `key`, or below it."""
        if key:
            return key[-1] in self.names(key[:-1])
        if self._subjects is None:
            return next(iter(self.source.each(self.machine)), None) is not None
        return bool(self._subjects)

    def links(self, key: Key) -> dict[str, str]:
        """The links that are not rows but follow from the subject: memoryN in nodeN."""
        if self.source.links is None:
            return {}
        if key not in self._links:
            self._links[key] = dict(self.source.links(self.subjects[key]))
        return self._links[key]

    def files(self, key: Key) -> dict[str, tuple[File[Any], Any]]:
        """The files that are not rows but follow from the subject, each with its own: a weight of nodeN."""
        if self.source.files is None or key not in self.subjects:
            return {}
        if key not in self._files:
            self._files[key] = {file.name: (file, s) for file, s in self.source.files(self.subjects[key])}
        return self._files[key]

    def _key(self, parts: tuple[Any, ...]) -> Key:
        rest = iter(parts)
        return tuple(t.format(*(next(rest) for _ in range(t.count(PLACEHOLDER)))) for t in self.templates)


Row = tuple[Table, "File[Any] | Link[Any]"]


@dataclass(slots=True, eq=False)
class Segment:
    """A place of the path patterns, what ends at it and what goes on from it."""

    depth: int = 0  # placeholders up to here
    literals: dict[str, Segment] = field(default_factory=dict)
    patterns: dict[str, Segment] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)  # that end here
    below: list[Table] = field(default_factory=list)  # that end here or further down
    rows: dict[str, Row] = field(default_factory=dict)

    def child(self, name: str) -> Segment:
        is_pattern = PLACEHOLDER in name
        children = self.patterns if is_pattern else self.literals
        if name not in children:
            children[name] = Segment(self.depth + is_pattern)
        return children[name]

    def exists(self, key: Key) -> bool:
        return any(table.has(key) for table in self.below)

    def names(self, key: Key) -> dict[str, None]:
        """What stands for the placeholder of this segment under `key`."""
        return {name: None for table in self.below for name in table.names(key)}


@dataclass(frozen=True, slots=True)
class Place:
    """A directory that exists."""

    segment: Segment
    key: Key = ()

    def row(self, name: str) -> tuple[File[Any] | Link[Any], Any] | None:
        """The row that `name` stands for, and its subject."""
        found = self.segment.rows.get(name)
        if found is None:
            return next((files[name] for files in self._files() if name in files), None)
        return (found[1], found[0].subjects[self.key]) if self.key in found[0].subjects else None

    def link(self, name: str) -> str | None:
        """Where the link `name` that follows from the subject points to."""
        return next((links[name] for links in self._links() if name in links), None)

    def directory(self, name: str) -> Place | None:
        child = self.segment.literals.get(name)
        if child and child.exists(self.key):
            return Place(child, self.key)
        key = (*self.key, name)
        return next((Place(c, key) for c in self.segment.patterns.values() if c.exists(key)), None)

    @property
    def mode(self) -> int:
        """The directory's own permissions, or 0."""
        return next((table.source.mode for table in self._tables() if table.source.mode), 0)

    @property
    def uid(self) -> int | None:
        """Whose the directory is, where a table says so."""
        owned = ((table.source.owner, table.subjects[self.key]) for table in self._tables())
        return next((owner(subject) for owner, subject in owned if owner), None)

    @property
    def folder(self) -> Folder | None:
        """How the directory's names change, where they can."""
        made = ((table.source.folder, table.subjects[self.key]) for table in self._tables())
        return next((folder(subject) for folder, subject in made if folder), None)

    def _tables(self) -> Iterator[Table]:
        return (table for table in self.segment.tables if self.key in table.subjects)

    def directories(self) -> Iterator[str]:
        for name, child in self.segment.literals.items():
            if child.exists(self.key):
                yield name
        for pattern in self.segment.patterns.values():
            yield from pattern.names(self.key)

    def names(self) -> dict[str, int]:
        """Every name in the directory with its file type, in the order of the tables."""
        found: dict[str, int] = {}
        for name, (table, entry) in self.segment.rows.items():
            if self.key in table.subjects:
                found[name] = S_IFLNK if isinstance(entry, Link) else S_IFREG
        for files in self._files():
            found.update(dict.fromkeys(files, S_IFREG))
        for links in self._links():
            found.update(dict.fromkeys(links, S_IFLNK))
        return found | dict.fromkeys(self.directories(), S_IFDIR)

    def _links(self) -> Iterator[dict[str, str]]:
        return (t.links(self.key) for t in self.segment.tables if t.source.links and self.key in t.subjects)

    def _files(self) -> Iterator[dict[str, tuple[File[Any], Any]]]:
        return (table.files(self.key) for table in self.segment.tables)


class Index:
    """All directories of one machine. A path that two rows claim is refused."""

    def __init__(self, machine: Machine, dirs: Iterable[Dir[Any]]) -> None:
        self.root = Place(Segment())
        self._machine = machine
        self._topology = machine.topology
        for source in dirs:
            if machine.kernel.has(source.needs):
                self._add(Table(source, machine))

    def refresh(self) -> bool:
        """Forget all names when the topology has changed; whether it had."""
        if self._topology == self._machine.topology:
            return False
        self._topology = self._machine.topology
        for table in self.root.segment.below:
            table.forget()
        return True

    def _add(self, table: Table) -> None:
        segment = self.root.segment
        segment.below.append(table)
        for name in filter(None, table.source.path.split("/")):
            segment = segment.child(name)
            segment.below.append(table)
        segment.tables.append(table)
        for entry in table.source.entries:
            if table.machine.kernel.has(entry.needs):
                if entry.name in segment.rows:
                    raise ValueError(f"{table.source.path}/{entry.name} is in two tables")
                segment.rows[entry.name] = (table, entry)
