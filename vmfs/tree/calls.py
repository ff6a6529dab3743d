"""The system calls beside open, read and write: most of them are refused, each in its kernel's way."""

from __future__ import annotations

import os
from errno import EOPNOTSUPP, EPERM
from typing import TYPE_CHECKING, NoReturn

from vmfs.tree.policy import Caller, error, policy_of

if TYPE_CHECKING:
    from vmfs.tree.tree import Tree


def access(tree: Tree, path: str, wanted: int, caller: Caller) -> None:
    """EACCES unless `caller` may do `wanted`, of R_OK, W_OK and X_OK."""
    tree.permit(tree.entry(path), wanted, caller)


def truncate(tree: Tree, path: str, caller: Caller) -> None:
    """Whoever may write may truncate, and nothing happens (fs/open.c: vfs_truncate())."""
    leaf = tree.leaf(path)
    tree.rules.check_writable(path)
    tree.permit(leaf, os.W_OK, caller)


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


def refuse(tree: Tree, call: str, path: str, caller: Caller) -> NoReturn:
    """A call that would change the directory `path` is in: a key of `Policy.changes`."""
    above = path.rpartition("/")[0]
    tree.rules.check_writable(above)
    raise error(policy_of(above).changes[call][not tree.rules.as_seen(path, caller).root])


def rename(tree: Tree, new: str, caller: Caller) -> NoReturn:
    """A target that does not exist fails in the lookup; one that does meets a directory without rename."""
    try:
        tree.entry(new)
    except FileNotFoundError:
        refuse(tree, "rename", new, caller)
    refuse(tree, "replace", new, caller)


def _own(tree: Tree, path: str, caller: Caller) -> None:
    # setattr_prepare() after the filesystem had its say
    policy = tree.entry(path).policy
    tree.rules.check_writable(path)
    caller = tree.rules.as_seen(path, caller)
    if not policy.attributes_change or not (caller.root or caller.uid == tree.owner_of(path).uid):
        raise error(EPERM)
