"""From a path to its entry: the row that stands for it, the policy of its file system, whose it is."""

from __future__ import annotations

import stat
from errno import ELOOP, ENOENT
from typing import TYPE_CHECKING

from vmfs.tree.entries import Directory, Entry, Leaf, Symlink
from vmfs.tree.index import Place
from vmfs.tree.policy import Policy, error, policy_of
from vmfs.views.entry import Link

if TYPE_CHECKING:
    from vmfs.tree.tree import Tree

MOST_LINKS = 40  # MAXSYMLINKS


def find(tree: Tree, path: str) -> Entry:
    """ENOENT, ENOTDIR."""
    if tree.rules.hides(path):
        raise error(ENOENT)
    above, _, name = path.rpartition("/")
    policy = policy_of(path)
    if not name:
        return Directory("/", stat.S_IFDIR | 0o755, policy, tree.index.root)
    parent = tree.directory(above or "/")
    place = parent.place
    entry = _row(place, path, name, policy) or _link(place, path, name, policy)
    if entry is None:
        entry = _directory(place, path, name, policy)
    uid = entry.place.uid if isinstance(entry, Directory) else None
    entry.uid = parent.uid if uid is None else uid
    entry.mode = tree.modes.get(path, entry.mode)
    return entry


def _directory(place: Place, path: str, name: str, policy: Policy) -> Directory:
    below = place.directory(name)
    if below is None:
        raise error(ENOENT)
    return Directory(path, stat.S_IFDIR | (below.mode or policy.directory_mode), policy, below)


def _row(place: Place, path: str, name: str, policy: Policy) -> Entry | None:
    found = place.row(name)
    if found is None:
        return None
    row, subject = found
    if isinstance(row, Link):
        return Symlink(path, stat.S_IFLNK | 0o777, policy, row.target(subject))
    return Leaf(path, stat.S_IFREG | row.permissions, policy, row, subject)


def _link(place: Place, path: str, name: str, policy: Policy) -> Entry | None:
    target = place.link(name)
    return None if target is None else Symlink(path, stat.S_IFLNK | 0o777, policy, target)


def resolve(tree: Tree, path: str) -> str:
    """The path with all links followed, as realpath(3); ENOENT, ELOOP."""
    done, rest, links = "", path.split("/"), 0
    while rest:
        name = rest.pop(0)
        if name == "..":
            done = done.rpartition("/")[0]
        elif name not in ("", "."):
            entry = tree.entry(f"{done}/{name}")
            links += isinstance(entry, Symlink)
            if links > MOST_LINKS:
                raise error(ELOOP)
            if isinstance(entry, Symlink):
                done, rest = (
                    ("" if entry.target.startswith("/") else done),
                    entry.target.split("/") + rest,
                )
            else:
                done = entry.path
    return done or "/"
