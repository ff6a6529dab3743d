"""Start a mount: look whether it can be, fork, and wait until it answers.

The daemon is a fork of the process that built the machine, so nothing is built or imported twice.
It must never touch its own mount, or it would wait for itself.
"""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Callable
from errno import EACCES, ENOENT, ENOTCONN
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from vmfs.adapters.mountinfo import KIND, MountError, absolute, announce, daemon_of, mount_at
from vmfs.adapters.unmount import detach, fusermount

if TYPE_CHECKING:
    from vmfs.adapters.fuse import Adapter
    from vmfs.tree import Tree

    MakeAdapter = Callable[[Tree, str, Callable[[], None]], Adapter]

FUSE_DEVICE = "/dev/fuse"
ANSWERS = b"\0"  # what a daemon says once it does; anything else is why it does not
ROOT_ALLOWS_OTHER = 0  # the modes are enforced for everybody, so root's mount is open to all

HINTS = (
    ("user_allow_other", "or leave out --allow-other"),
    (
        "not permitted",
        "a container needs --device /dev/fuse --cap-add SYS_ADMIN, a user a set-uid fusermount",
    ),
    ("no write access", "mount on a directory of yours"),
)
"""What to do about a reason of libfuse's or fusermount's that holds these words."""

log = logging.getLogger(__name__)


def mount(
    tree: Tree,
    mountpoint: str | os.PathLike[str],
    *,
    subtree: str = "/",
    allow_other: bool = False,
    on_start: Callable[[], None] = lambda: None,
    adapter: MakeAdapter | None = None,
) -> int:
    """Start a daemon that shows the tree; returns its process id once the mount answers. MountError.

    The daemon has a copy of the machine: what happens to `tree` later is not seen in the mount.
    `on_start` runs in the daemon before it mounts. `adapter`: another than the usual one.
    """
    path = prepare(mountpoint)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _daemon(lambda ready: serve(tree, path, ready, subtree, allow_other, adapter), writer, on_start)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read()
    if answer != ANSWERS:
        os.waitpid(pid, 0)
        raise MountError(answer.decode("utf-8", "replace") or "the daemon ended before the mount answered")
    return pid


def serve(
    tree: Tree,
    path: str,
    ready: Callable[[], None],
    subtree: str = "/",
    allow_other: bool = False,
    adapter: MakeAdapter | None = None,
) -> None:
    """Mount and answer in this process until the mount ends. `path` is from prepare(). MountError."""
    from vmfs.adapters import fuse

    # libfuse and fusermount say on standard error why they cannot
    said, stderr = os.memfd_create("libfuse"), os.dup(2)
    os.dup2(said, 2)
    sockets = []

    def begin() -> None:
        os.dup2(stderr, 2)
        if (found := mount_at(path)) is not None:
            sockets.append(announce(found))
        ready()

    gc.freeze()  # the tables and the machine stay: collections need not look at them
    try:
        everybody = allow_other or os.geteuid() == ROOT_ALLOWS_OTHER
        fuse.serve(tree, path, subtree, everybody, begin, adapter or fuse.Adapter)
    except RuntimeError:
        if not sockets:
            raise MountError(_reason(said)) from None
    finally:
        os.dup2(stderr, 2)


def prepare(mountpoint: str | os.PathLike[str]) -> str:
    """The absolute mount point, empty and free: a dead mount on it is cleared. MountError."""
    path = absolute(mountpoint)
    _clear_dead_mount(path)
    _check_directory(path)
    _check_fuse()
    return path


def _clear_dead_mount(path: str) -> None:
    found = mount_at(path)
    if found is None or found.kind != KIND:
        return
    if daemon_of(found) is None and _is_dead(path):
        detach(path, lazily=True)
        _clear_dead_mount(path)
    else:
        raise MountError(f"a vmfs is mounted on {path} already: vmfs umount {path}")


def _is_dead(path: str) -> bool:
    try:
        Path(path).stat()
    except OSError as fault:
        return fault.errno == ENOTCONN
    return False


def _check_directory(path: str) -> None:
    try:
        names = list(Path(path).iterdir())
    except FileNotFoundError:
        raise MountError(f"{path} does not exist: mkdir -p {path}") from None
    except NotADirectoryError:
        raise MountError(f"{path} is not a directory: a mount point is an empty directory") from None
    except OSError as fault:
        raise MountError(f"{path}: {fault.strerror}: mount on a directory of yours") from None
    if names:
        raise MountError(f"{path} is not empty: a mount point is an empty directory")


def _check_fuse() -> None:
    try:
        from vmfs.adapters import fuse  # noqa: F401 # it looks for libfuse when it is imported
    except OSError:
        raise MountError("libfuse 2 is not installed: apt install libfuse2 (dnf install fuse-libs)") from None
    if os.geteuid() != 0 and fusermount() is None:
        raise MountError("fusermount is not installed: apt install fuse (or fuse3)")
    try:
        os.close(os.open(FUSE_DEVICE, os.O_RDWR))
    except OSError as fault:
        raise MountError(_device_fault(fault)) from None


def _device_fault(fault: OSError) -> str:
    if fault.errno == ENOENT:
        cure = "modprobe fuse, or start the container with --device /dev/fuse"
    elif fault.errno == EACCES:
        cure = f"as root: chmod 666 {FUSE_DEVICE}"
    else:
        cure = "start the container with --device /dev/fuse"
    return f"{FUSE_DEVICE}: {fault.strerror}: {cure}"


def _daemon(run: Callable[[Callable[[], None]], None], answer: int, on_start: Callable[[], None]) -> NoReturn:
    """The rest of the life of the forked process."""
    status = 1
    try:
        os.setsid()
        os.chdir("/")
        nothing = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(nothing, standard)
        on_start()

        def ready() -> None:
            os.write(answer, ANSWERS)
            os.close(answer)

        run(ready)
        status = 0
    except MountError as fault:
        os.write(answer, str(fault).encode())
    except BaseException as fault:
        log.exception("the daemon ended")
        os.write(answer, f"the daemon ended: {fault}".encode())
    finally:
        os._exit(status)


def _reason(said: int) -> str:
    os.lseek(said, 0, os.SEEK_SET)
    lines = os.read(said, 65536).decode("utf-8", "replace").split("\n")
    why = next((line.strip() for line in lines if line.strip()), "libfuse gave no reason")
    why = why.removeprefix("fusermount: ").removeprefix("fuse: ")
    return next((f"{why}: {cure}" for words, cure in HINTS if words in why), why)
