"""Tree: paths to text and back, under one lock."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from errno import EACCES, EHOSTDOWN, EINVAL, EISDIR, ENOTDIR
from typing import TYPE_CHECKING, Any

from vmfs import views
from vmfs.control import Control
from vmfs.tree.entries import Directory, Entry, Leaf, Stat, Symlink
from vmfs.tree.find import find, resolve
from vmfs.tree.handle import Handle
from vmfs.tree.index import Index
from vmfs.tree.policy import CONTROL, Caller, error, policy_of
from vmfs.tree.rules import Rules
from vmfs.views.entry import Dir, Shape

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

KEPT_ENTRIES = 4096
"""Paths whose rows and texts are remembered; who walks over more starts again."""


class Tree:
    """Paths are absolute: "/proc/meminfo". One lock is held for a whole read or write.

    `elapsed` gives the seconds that have passed since it was last asked; the machine lives through
    them before anybody looks at it. Without it time stands still but for `machine.tick()`. `dirs` are
    the tables to show, by default all; vmfs/ctl is always there.
    """

    def __init__(
        self,
        machine: Machine,
        elapsed: Callable[[], float] | None = None,
        dirs: Iterable[Dir[Any]] | None = None,
    ) -> None:
        self.elapsed = elapsed
        self.owner = Caller(os.getuid(), os.getgid(), root=True)
        self.lock = threading.RLock()
        self._dirs = (*(views.dirs() if dirs is None else dirs), *Control(self).dirs())
        self.modes: dict[str, int] = {}  # where chmod changed it
        self.owners: dict[str, Caller] = {}  # where chown changed it
        self.rules = Rules()
        self.replace(machine)

    def replace(self, machine: Machine) -> None:
        """Show another machine from now on; what was open of it while it was saved is closed."""
        machine.close_all()
        self.machine = machine
        self.index = Index(machine, self._dirs)
        self._entries: dict[str, Entry] = {}

    def listdir(self, path: str = "/") -> list[str]:
        """The names in the kernel's order; by name where the kernel's order has no meaning."""
        with self.lock:
            self._advance()
            directory = self.directory(path)
            return sorted(self._names(directory), key=directory.policy.order)

    def scandir(self, path: str = "/") -> list[tuple[str, int]]:
        """The names with their file types, S_IFREG, S_IFDIR or S_IFLNK."""
        with self.lock:
            types = self._names(self.directory(path))
            return [(name, types[name]) for name in self.listdir(path)]

    def read(self, path: str) -> str:
        """The text now, as the owner sees it: EACCES where an open for reading has it."""
        self.open(path, os.O_RDONLY).release()
        return self.read_bytes(path).decode("utf-8", "surrogateescape")

    def write(self, path: str, text: str | bytes) -> None:
        """Open, write and close as a shell's `echo` does: the rest of a short write follows it."""
        data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
        with closing(self.open(path, os.O_WRONLY)) as handle:
            done = handle.write(data, 0)
            while 0 < done < len(data):
                done += handle.write(data[done:], done)

    def readlink(self, path: str) -> str:
        entry = self.entry(path)
        if not isinstance(entry, Symlink):
            raise error(EINVAL)
        return entry.target

    def resolve(self, path: str) -> str:
        """The path with all links followed, as realpath(3); ENOENT, ELOOP."""
        return resolve(self, path)

    def stat(self, path: str) -> Stat:
        """As lstat(2), but for st_size: the length of the text at this moment."""
        with self.lock:
            self._advance()
            entry = self.entry(path)
            owner = self.owner_of(path)
            shape = self._shape(entry)
            return Stat(entry.mode, self._nlink(entry), owner.uid, owner.gid, *shape)

    def walk(self, path: str = "/") -> Iterator[Entry]:
        """Every entry at and under `path`, itself first."""
        entry = self.entry(path)
        yield entry
        if isinstance(entry, Directory):
            for name in self.listdir(path):
                yield from self.walk(f"{path.rstrip('/')}/{name}")

    def open(self, path: str, flags: int, caller: Caller | None = None) -> Handle:
        """Open a file that exists; flags and errno as in the system call."""
        leaf = self.leaf(path)
        wanted = (os.R_OK, os.W_OK, os.R_OK | os.W_OK)[flags & os.O_ACCMODE]
        self.permit(leaf, wanted, caller or self.owner)
        leaf.policy.check_open(leaf.file, leaf.mode, wanted)
        self.rules.check_open(path)
        if flags & os.O_DIRECT:
            raise error(EINVAL)
        with self.lock:
            return Handle(self, path, flags, caller or self.owner)

    def permit(self, entry: Entry, wanted: int, caller: Caller) -> None:
        """inode_permission(): EACCES unless `caller` may do `wanted`, of R_OK, W_OK and X_OK.

        Search permission of the directories above is not asked for; all have it unless chmod
        took it away.
        """
        caller = self.rules.as_seen(entry.path, caller)
        self._permit_bits(entry, wanted, caller)
        if wanted & os.W_OK:
            self.rules.check_writable(entry.path)

    def _permit_bits(self, entry: Entry, wanted: int, caller: Caller) -> None:
        mode = entry.mode
        if wanted * 0o111 & ~mode == 0:
            return
        owner = self.owner_of(entry.path)
        shift = 6 if caller.root or caller.uid == owner.uid else 3 if caller.gid == owner.gid else 0
        if not entry.policy.permits(mode, wanted, mode >> shift & 0o7, caller.root):
            raise error(EACCES)

    def change_mode(self, path: str, mode: int) -> None:
        """chmod(2) by somebody who may: see `Calls`."""
        entry = self.entry(path)
        entry.mode = self.modes[path] = stat.S_IFMT(entry.mode) | stat.S_IMODE(mode)

    def change_owner(self, path: str, uid: int, gid: int) -> None:
        """chown(2) by somebody who may; -1 leaves an id as it is."""
        old = self.owner_of(path)
        self.owners[path] = Caller(old.uid if uid < 0 else uid, old.gid if gid < 0 else gid, root=False)

    def forget(self, path: str) -> None:
        """The name is gone, and with it what was changed of it."""
        self.modes.pop(path, None)
        self.owners.pop(path, None)

    def moved(self, old: str, new: str) -> None:
        """The name is another one."""
        self.forget(new)
        for changed in (self.modes, self.owners):
            if old in changed:
                changed[new] = changed.pop(old)  # type: ignore[assignment] # of the same table

    def entry(self, path: str) -> Entry:
        """What is at `path`: ENOENT, ENOTDIR."""
        if self.index.refresh():
            self._entries.clear()
        entry = self._entries.get(path)
        if entry is None:
            if len(self._entries) >= KEPT_ENTRIES:
                self._entries.clear()
            entry = self._entries[path] = find(self, path)
        return entry

    def leaf(self, path: str) -> Leaf:
        """The file at `path`; EISDIR for a directory."""
        entry = self.entry(path)
        if isinstance(entry, Leaf):
            return entry
        raise error(EISDIR if isinstance(entry, Directory) else EINVAL)

    def directory(self, path: str) -> Directory:
        """The directory at `path`; ENOTDIR for a file."""
        entry = self.entry(path)
        if isinstance(entry, Directory):
            return entry
        raise error(ENOTDIR)

    def owner_of(self, path: str) -> Caller:
        """Who owns what is at `path`; what is root's belongs to the user whose machine it is."""
        uid = self.entry(path).uid
        return self.owners.get(path) or (Caller(uid, uid, root=False) if uid else self.owner)

    def read_bytes(self, path: str) -> bytes:
        """The whole text, rendered at most once per state of the machine."""
        with self.lock:
            self._advance()
            self.rules.check_transfer(path)
            return self.rules.edited(path, self._render(self.leaf(path)))

    @contextmanager
    def moment(self, path: str, caller: Caller, *, changes: bool = False) -> Iterator[None]:
        """The machine as it is now, for one call on a file, and nobody else's; EHOSTDOWN after a panic."""
        with self.lock:
            self._advance()
            self.rules.check_transfer(path)
            if changes and self.machine.panicked and policy_of(path) is not CONTROL:
                raise error(EHOSTDOWN)
            with self.machine.acting(caller.current):
                yield

    def write_bytes(self, path: str, data: bytes, offset: int) -> int:
        """One write(2) of the owner's, without a descriptor: how many bytes were taken."""
        with self.moment(path, self.owner, changes=True):
            return self.write_row(path, data, offset)

    def write_row(self, path: str, data: bytes, offset: int) -> int:
        """One write(2) to a file that keeps nothing by descriptor: how many bytes were taken."""
        leaf = self.leaf(path)
        return leaf.policy.write(leaf.file, leaf.subject, data, offset)

    def size(self, path: str) -> int:
        return len(self.read_bytes(path))

    def add_rule(self, kind: str, pattern: str, value: str = "") -> None:
        """A policy or fault from now on: see Rules.add(). ValueError."""
        self.rules.add(kind, pattern, value)
        self._entries.clear()

    def remove_rules(self, pattern: str) -> int:
        """How many rules with this pattern there were; "/" means all."""
        self._entries.clear()
        return self.rules.remove(pattern)

    def tick(self, seconds: float) -> None:
        """Time passes for the machine, with what its timetable holds."""
        with self.lock:
            if self.machine.timetable is None:
                self.machine.tick(seconds)
            else:
                elapsed, self.elapsed = self.elapsed, None  # what happens now takes no time
                try:
                    self.machine.timetable.advance(self, seconds)
                finally:
                    self.elapsed = elapsed

    def live(self) -> None:
        """Let the time pass that has passed, without looking at anything."""
        with self.lock:
            self._advance()

    def _advance(self) -> None:
        if self.elapsed is not None:
            seconds = self.elapsed()
            if seconds:
                self.tick(seconds)

    def _render(self, leaf: Leaf) -> bytes:
        if leaf.file.read is None:
            return b""
        stamp = (self.machine.generation, self.machine.clock.uptime_centisecs if leaf.file.timed else 0)
        if leaf.stamp != stamp:
            leaf.text = leaf.file.read(leaf.subject).encode("utf-8", "surrogateescape")
            leaf.stamp = stamp
        return leaf.text

    def _names(self, directory: Directory) -> dict[str, int]:
        above = directory.path.rstrip("/")
        names = directory.place.names()
        return {name: kind for name, kind in names.items() if not self.rules.hides(f"{above}/{name}")}

    def _shape(self, entry: Entry) -> Shape:
        if isinstance(entry, Leaf) and entry.file.shape:
            return entry.file.shape(entry.subject)
        size = len(entry.target) if isinstance(entry, Symlink) else 0
        if isinstance(entry, Leaf) and entry.mode & 0o444:
            size = len(self.rules.edited(entry.path, self._render(entry)))
        return Shape(size, entry.policy.blksize)

    def _nlink(self, entry: Entry) -> int:
        if isinstance(entry, Directory) and entry.policy.nlink_counts:
            return 2 + sum(1 for _ in entry.place.directories())
        return 1
