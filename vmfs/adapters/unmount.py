"""End a daemon by unmounting, or clear the mount that a dead one left."""

from __future__ import annotations

import ctypes
import os
import select
import shutil
import subprocess
from errno import EBUSY, EPERM

from vmfs.adapters.mountinfo import KIND, MountError, absolute, daemon_of, mount_at

END_SECONDS = 10.0
"""How long an unmounted daemon may take to end."""

MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8


def unmount(mountpoint: str | os.PathLike[str]) -> None:
    """Returns when the daemon has ended. MountError: nothing of ours is there, or it is in use."""
    path = absolute(mountpoint)
    found = mount_at(path)
    if found is None:
        raise MountError(f"nothing is mounted on {path}")
    if found.kind != KIND:
        raise MountError(f"{path} is a mount of type {found.kind}, not of vmfs")
    daemon = daemon_of(found)
    detach(path, lazily=daemon is None)
    if daemon:
        _wait_for_end(daemon)


def detach(path: str, lazily: bool) -> None:
    """umount(2), which is root's, or fusermount for everybody else; `lazily` also when in use."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.umount2(os.fsencode(path), UMOUNT_NOFOLLOW | (MNT_DETACH if lazily else 0)) == 0:
        return
    number = ctypes.get_errno()
    if number == EPERM:
        _fusermount(path, lazily)
    elif number == EBUSY:
        raise MountError(_busy(path))
    else:
        raise MountError(f"cannot unmount {path}: {os.strerror(number)}")


def fusermount() -> str | None:
    """The set-uid program that mounts and unmounts for ordinary users; fuse3 has it by two names."""
    return shutil.which("fusermount") or shutil.which("fusermount3")


def _fusermount(path: str, lazily: bool) -> None:
    program = fusermount()
    if program is None:
        raise MountError("fusermount is not installed: apt install fuse (or fuse3)")
    done = subprocess.run(  # noqa: S603 # no shell, and the path is one argument
        [program, "-u", *(["-z"] if lazily else []), "--", path], capture_output=True, text=True, check=False
    )
    if done.returncode:
        why = done.stderr.strip().removeprefix("fusermount: ")
        raise MountError(_busy(path) if "busy" in why else why)


def _busy(path: str) -> str:
    return f"{path} is in use: end what `fuser -vm {path}` shows"


def _wait_for_end(pid: int) -> None:
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended, _, _ = select.select([process], [], [], END_SECONDS)
    os.close(process)
    if not ended:
        raise MountError(f"the mount is gone but its daemon is not: kill {pid}")
