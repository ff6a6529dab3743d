"""The system calls of namespaces that Python's `os` lacks (in 3.11), through libc; all raise OSError."""

from __future__ import annotations

import ctypes
import os

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000

MS_BIND = 0x1000
MS_REC = 0x4000
MS_SLAVE = 0x80000
MS_NOSUID = 2
MS_NODEV = 4

MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8

PR_SET_PDEATHSIG = 1
PR_CAPBSET_READ = 23
CAP_SYS_ADMIN = 21

AT_FDCWD = -100
AT_RECURSIVE = 0x8000
OPEN_TREE_CLONE = 1
OPEN_TREE_CLOEXEC = os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH = 4
SYS_OPEN_TREE = 428  # these two have the same number on every architecture
SYS_MOVE_MOUNT = 429

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, path: str | None = None) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return result


def unshare(flags: int) -> None:
    _checked(_libc.unshare(ctypes.c_int(flags)))


def setns(fd: int, kinds: int) -> None:
    _checked(_libc.setns(ctypes.c_int(fd), ctypes.c_int(kinds)))


def die_with_parent(number: int, parent: int) -> None:
    """Get the signal when the thread that forked this process, of process `parent`, has ended."""
    _checked(_libc.prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(number), 0, 0, 0))
    if os.getppid() != parent:  # it had ended before we asked
        os.kill(os.getpid(), number)


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    _checked(
        _libc.mount(
            os.fsencode(source), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), data.encode()
        ),
        target,
    )


def bind(source: str, target: str) -> None:
    """With what is mounted below `source`: a user namespace may not show what that hides."""
    mount(source, target, flags=MS_BIND | MS_REC)


def detach(target: str) -> None:
    """Unmount the topmost mount at `target`, also when it is in use or its server is dead."""
    _checked(_libc.umount2(os.fsencode(target), MNT_DETACH | UMOUNT_NOFOLLOW), target)


def copy_tree(path: str) -> int:
    """A detached copy of what is mounted at and below `path`, to be given to move_tree()."""
    flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE
    return _checked(_libc.syscall(SYS_OPEN_TREE, AT_FDCWD, os.fsencode(path), ctypes.c_uint(flags)), path)


def move_tree(tree: int, target: str) -> None:
    """Mount the copy at `target` and close it."""
    flags = ctypes.c_uint(MOVE_MOUNT_F_EMPTY_PATH)
    try:
        _checked(_libc.syscall(SYS_MOVE_MOUNT, tree, b"", AT_FDCWD, os.fsencode(target), flags), target)
    finally:
        os.close(tree)
