"""The system calls beside open, read and write: most of them are refused, each in its kernel's way."""

from __future__ import annotations

import os
from contextlib import closing
from errno import EOPNOTSUPP, EPERM, EXDEV
from typing import TYPE_CHECKING, NoReturn

from vmfs.tree.entries import Directory
from vmfs.tree.policy import Caller, error, policy_of
from vmfs.views.entry import Folder

if TYPE_CHECKING:
    from vmfs.tree.tree import Tree

DEFAULT_BLOCK_BYTES = 4096


def access(tree: Tree, path: str, wanted: int, caller: Caller) -> None:
    """EACCES unless `caller` may do `wanted`, of R_OK, W_OK and X_OK."""
    tree.permit(tree.entry(path), wanted, caller)


def truncate(tree: Tree, path: str, caller: Caller, length: int = 0) -> None:
    """Whoever may write may truncate; of most files nothing happens (fs/open.c: vfs_truncate())."""
    leaf = tree.leaf(path)
    tree.rules.check_writable(path)
    tree.permit(leaf, os.W_OK, caller)
    if leaf.file.shape:
        with closing(tree.open(path, os.O_WRONLY, caller)) as handle:
            handle.truncate(length)


def chmod(tree: Tree, path: str, mode: int, caller: Caller) -> None:
    """EPERM on a sysctl: proc_sys_setattr()."""
    _own(tree, path, caller)
    tree.change_mode(path, mode)


def chown(tree: Tree, path: str, uid: int, gid: int, caller: Caller) -> None:
    """EPERM on a sysctl: proc_sys_setattr()."""
    _own(tree, path, caller)
    tree.change_owner(path, uid, gid)


def utimes(tree: Tree, path: str, caller: Caller) -> None:
    """The times are those of the mount whatever one sets.

    Naming times is for the owner (EPERM), "now" for who may write (EACCES); a transport that cannot
    tell the two apart gets EACCES.
    """
    tree.rules.check_writable(path)
    caller = tree.rules.as_seen(path, caller)
    if not (caller.root or caller.uid == tree.owner_of(path).uid):
        tree.permit(tree.entry(path), os.W_OK, caller)


def getxattr(tree: Tree, path: str, name: str, caller: Caller) -> NoReturn:
    """There is none; for those of the user xattr_permission() comes first."""
    entry = tree.entry(path)
    if name.startswith("user."):
        tree.permit(entry, os.R_OK, caller)
    raise error(entry.policy.getxattr)


def setxattr(tree: Tree, path: str, name: str, caller: Caller) -> NoReturn:
    """None can be set or removed; for those of the user xattr_permission() comes first."""
    entry = tree.entry(path)
    if name.startswith("user."):
        tree.permit(entry, os.W_OK, caller)
    raise error(EOPNOTSUPP)


def fsync(tree: Tree, path: str) -> None:
    """EINVAL where the kernel has no such operation."""
    if number := tree.entry(path).policy.fsync:
        raise error(number)


def block_bytes(tree: Tree, path: str) -> int:
    """statfs(2): the size of the blocks that the file system at `path` is made of."""
    entry = tree.entry(path)
    above = entry if isinstance(entry, Directory) else tree.directory(path.rpartition("/")[0] or "/")
    return above.place.folder.block_bytes if above.place.folder else DEFAULT_BLOCK_BYTES


def create(tree: Tree, path: str, mode: int, caller: Caller) -> None:
    """A file that is not there comes to be, where its directory is one that can change."""
    folder, name = _folder(tree, "create", path, caller)
    with tree.moment(path, caller, changes=True):
        folder.create(name, mode)
        tree.change_owner(path, caller.uid, caller.gid)


def unlink(tree: Tree, path: str, caller: Caller) -> None:
    folder, name = _folder(tree, "unlink", path, caller)
    with tree.moment(path, caller, changes=True):
        folder.unlink(name)
        tree.forget(path)


def _folder(tree: Tree, call: str, path: str, caller: Caller) -> tuple[Folder, str]:
    """The directory that is to change, by somebody who may."""
    above, _, name = path.rpartition("/")
    directory = tree.directory(above or "/")
    folder = directory.place.folder
    if folder is None:
        refuse(tree, call, path, caller)
    tree.permit(directory, os.W_OK | os.X_OK, caller)
    return folder, name


def refuse(tree: Tree, call: str, path: str, caller: Caller) -> NoReturn:
    """A call that would change the directory `path` is in: a key of `Policy.changes`."""
    above = path.rpartition("/")[0]
    tree.rules.check_writable(above)
    raise error(policy_of(above).changes[call][not tree.rules.as_seen(path, caller).root])


def rename(tree: Tree, new: str, caller: Caller, old: str = "") -> None:
    """A target that does not exist fails in the lookup; one that does meets a directory without rename."""
    if old and tree.directory(old.rpartition("/")[0] or "/").place.folder is not None:
        _rename(tree, old, new, caller)
        return
    try:
        tree.entry(new)
    except FileNotFoundError:
        refuse(tree, "rename", new, caller)
    refuse(tree, "replace", new, caller)


def _rename(tree: Tree, old: str, new: str, caller: Caller) -> None:
    folder, name = _folder(tree, "rename", old, caller)
    if new.rpartition("/")[0] != old.rpartition("/")[0]:
        raise error(EXDEV)
    with tree.moment(old, caller, changes=True):
        folder.rename(name, new.rpartition("/")[2])
        tree.moved(old, new)


def _own(tree: Tree, path: str, caller: Caller) -> None:
    # setattr_prepare() after the filesystem had its say
    policy = tree.entry(path).policy
    tree.rules.check_writable(path)
    caller = tree.rules.as_seen(path, caller)
    if not policy.attributes_change or not (caller.root or caller.uid == tree.owner_of(path).uid):
        raise error(EPERM)
