"""Bind files and directories of a machine over those of the host."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from vmfs.namespace import base, syscalls

EVERYDAY_DEVICES = {"console", "full", "fuse", "kmsg", "null", "random", "tty", "urandom", "zero"}
"""Bound one by one; the hundred others of a /dev are links: a mount each would fill every list of mounts.

So is ptmx, which the kernel wants to find beside a directory pts (fs/devpts/inode.c: path_pts()).
"""

NO_ROOM = ("/proc",)
"""Nobody but the kernel makes a name here, or takes one away."""


class Cover:
    """What is mounted over the host's names; `missing`: what found no place."""

    def __init__(self, machine: str) -> None:
        self.machine = machine
        self.missing: list[str] = []
        self._known: dict[str, bool] = {}

    def lay_over(self, targets: Iterable[str]) -> None:
        """Bind each; where the host lacks a name, make room for it."""
        there = [target for target in targets if self.has(target)]
        for parent, names in _by_parent(t for t in there if not os.path.lexists(t)).items():
            self._add_names(parent, names)
        for target in there:
            if os.path.lexists(target):
                syscalls.bind(self.machine + target, target)

    def vanish(self, targets: Iterable[str]) -> None:
        """Take names away. In /proc, where they stay listed, what they lead to answers ENOENT: see seal()."""
        there = [target for target in targets if Path(target).exists()]
        for parent, names in _by_parent(t for t in there if not _has_no_room(t)).items():
            self.make_room(parent, names)
        for target in filter(_has_no_room, there):
            kind = "directory" if Path(target).is_dir() else "file"
            syscalls.bind(f"{self.machine}/vmfs/absent/{kind}", str(Path(target).resolve()))

    def seal(self) -> None:
        """From now on what vanished is not to be found: it had to be there to be bound."""
        Path(f"{self.machine}/vmfs/keeper").write_text("hide /vmfs/absent\n")

    def has(self, target: str) -> bool:
        """Whether the machine has it: looked up once, for that makes the text of a file, to tell its size."""
        if target not in self._known:
            self._known[target] = _can_be_looked_up(self.machine + target)
        return self._known[target]

    def _add_names(self, parent: str, names: list[str]) -> None:
        if _has_no_room(f"{parent}/") or not Path(parent).is_dir():
            self.missing += [f"{parent}/{name}" for name in names]
            return
        self.make_room(parent)
        for name in names:
            _place_holder(f"{parent}/{name}", Path(f"{self.machine}{parent}/{name}").stat().st_mode)

    def make_room(self, parent: str, without: Iterable[str] = ()) -> None:
        """An empty directory over `parent`, with what was in it bound back except `without`."""
        below = os.open(parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        entries = [entry for entry in os.scandir(parent) if entry.name not in set(without)]
        modes = {entry.name: entry.stat(follow_symlinks=False).st_mode for entry in entries}
        links = {entry.name: Path(entry).readlink() for entry in entries if entry.is_symlink()}
        syscalls.mount("vmfs", parent, "tmpfs", syscalls.MS_NOSUID, "mode=755")
        for name, mode in modes.items():
            if _is_rare_device(name, mode):
                links[name] = Path(base.kept(self.machine, f"{parent}/{name}"))
            if name in links:
                Path(parent, name).symlink_to(links[name])
            else:
                _place_holder(f"{parent}/{name}", mode)
                syscalls.bind(f"/proc/self/fd/{below}/{name}", f"{parent}/{name}")
        os.close(below)


def _can_be_looked_up(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _is_rare_device(name: str, mode: int) -> bool:
    return (stat.S_ISCHR(mode) or stat.S_ISBLK(mode)) and name not in EVERYDAY_DEVICES


def _has_no_room(path: str) -> bool:
    return path.startswith(tuple(f"{root}/" for root in NO_ROOM))


def _by_parent(targets: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for target in targets:
        parent, _, name = target.rpartition("/")
        found.setdefault(parent, []).append(name)
    return found


def _place_holder(path: str, mode: int) -> None:
    """What can be bound over: a directory over a directory, anything else over a file."""
    if stat.S_ISDIR(mode):
        Path(path).mkdir()
    else:
        Path(path).touch()
