"""The tree over FUSE, by fusepy, which speaks libfuse 2.

What costs a round trip is left out: an operation that is None answers ENOSYS once, and the kernel
never asks again. Names are cached for long, since every call finds its path anew; attributes are
not, since a file's length is that of its text now. Permissions are decided here and not by
`default_permissions`: the kernel would let root read a 0200 sysctl, and ask for the attributes of
every directory on the way at each open.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from errno import EINVAL, EIO
from pathlib import Path
from typing import Any, NoReturn, Protocol

import fuse

from vmfs.adapters import fuse_binding
from vmfs.adapters.pollers import Pollers
from vmfs.tree import Caller, Handle, Stat, Tree, calls
from vmfs.tree.policy import error
from vmfs.views.entry import DEFAULT_POLLMASK

log = logging.getLogger(__name__)

NAMES_KEPT_SECONDS = 86400
PROCESS = re.compile(r"/proc/([1-9]\d*)(?=/|$)")
INIT = "/proc/1"
REMOVED = ".fuse_hidden"  # libfuse renames a file that is removed while it is open
INIT_COMM = "init"
OPTIONS: dict[str, Any] = {
    "big_writes": True,  # one write(2) is one value, also when it is longer than a page
    "entry_timeout": NAMES_KEPT_SECONDS,
    "attr_timeout": 0,
    "max_readahead": 0,  # what is read ahead of a mapping would count as touched
    "fsname": "vmfs",
    "subtype": "vmfs",
}


class OpenFile(Protocol):
    """What reads and writes of a descriptor go to."""

    def read(self, size: int, offset: int) -> bytes: ...

    def write(self, data: bytes, offset: int) -> int: ...


class Adapter(fuse.Operations):  # type: ignore[misc] # without stubs
    """`root` is the directory of the tree that the mount point shows; `ready` is called once it answers."""

    use_ns = True
    flush = None
    opendir = None
    releasedir = None

    def __init__(self, tree: Tree, root: str, ready: Callable[[], None]) -> None:
        self._tree = tree
        self._root = root.rstrip("/")
        self._ready = ready
        self._handles: dict[int, OpenFile] = {}
        self._pollers = Pollers(tree, fuse_binding.wake, fuse_binding.forget)
        self._last_handle = 0
        self._mounted = time.time_ns()

    def __call__(self, operation: str, path: str | None, *args: Any) -> Any:
        """Every operation comes through here, and every fault of ours leaves here as EIO."""
        try:
            return getattr(self, operation)(path, *args)
        except OSError:
            raise
        except Exception:
            log.exception("%s %s", operation, path)
            raise error(EIO) from None
        finally:
            self._pollers.look()

    def init(self, _path: str) -> None:
        self._ready()

    def destroy(self, _path: str) -> None:
        self._pollers.stop()

    # Looking

    def getattr(self, path: str, _fh: int | None = None) -> dict[str, int]:
        return self._attributes(self._tree.stat(self._path(path)))

    def _attributes(self, found: Stat) -> dict[str, int]:
        return {
            "st_mode": found.st_mode,
            "st_nlink": found.st_nlink,
            "st_uid": found.st_uid,
            "st_gid": found.st_gid,
            "st_size": found.st_size,
            "st_blksize": found.st_blksize,
            "st_blocks": found.st_blocks,
            "st_atime": self._mounted,
            "st_mtime": self._mounted,
            "st_ctime": self._mounted,
        }

    def readdir(self, path: str, _fh: int) -> Iterator[Any]:
        yield from (".", "..")
        for name, kind in self._tree.scandir(self._path(path)):
            if not name.startswith(REMOVED):
                yield name, {"st_mode": kind}, 0

    def readlink(self, path: str) -> str:
        return self._tree.readlink(self._path(path))

    def access(self, path: str, wanted: int) -> None:
        calls.access(self._tree, self._path(path), wanted, self._caller())

    def statfs(self, path: str) -> dict[str, int]:
        size = calls.block_bytes(self._tree, self._path(path))
        return {"f_bsize": size, "f_frsize": size, "f_namemax": 255}  # no blocks: df passes it over

    # Reading and writing

    def open(self, path: str, flags: int) -> int:
        writes = bool(flags & os.O_ACCMODE)
        return self._keep(self._tree.open(self._path(path), flags, self._caller(named=writes)))

    def create(self, path: str, flags: int, mode: int) -> int:
        calls.create(self._tree, self._path(path), mode, self._caller())
        return self.open(path, flags)

    def is_mapped(self, _path: None, fh: int) -> bool:
        handle = self._handles[fh]
        return isinstance(handle, Handle) and handle.is_mapped

    def _own(self, fh: int) -> Handle:
        """An open file of the tree."""
        handle = self._handles[fh]
        if not isinstance(handle, Handle):
            raise error(EINVAL)
        return handle

    def _keep(self, handle: OpenFile) -> int:
        self._last_handle += 1
        self._handles[self._last_handle] = handle
        return self._last_handle

    def read(self, _path: str, size: int, offset: int, fh: int) -> bytes:
        return self._handles[fh].read(size, offset)

    def write(self, _path: str, data: bytes, offset: int, fh: int) -> int:
        return self._handles[fh].write(data, offset)

    def write_page(self, _path: str, data: bytes, offset: int, fh: int) -> int:
        return self._own(fh).write_page(data, offset)

    def release(self, _path: str, fh: int) -> None:
        handle = self._handles.pop(fh)
        if isinstance(handle, Handle):
            self._pollers.close(handle)
            handle.release()

    def poll(self, _path: str, fh: int, token: int) -> int:
        handle = self._handles[fh]
        if not isinstance(handle, Handle):
            return DEFAULT_POLLMASK
        if token:
            self._pollers.sleep(handle, token)
        return handle.poll()

    def truncate(self, path: str, length: int, fh: int | None = None) -> None:
        if fh is None:
            calls.truncate(self._tree, self._path(path), self._caller(), length)
        else:
            self._own(fh).truncate(length)

    def fallocate(self, _path: str, mode: int, offset: int, length: int, fh: int) -> None:
        self._own(fh).fallocate(mode, offset, length)

    def fsync(self, path: str, _datasync: int, _fh: int) -> None:
        calls.fsync(self._tree, self._path(path))

    def fsyncdir(self, _path: str, _datasync: int, _fh: int) -> None:
        raise error(EINVAL)

    # Changing what cannot be changed

    def chmod(self, path: str, mode: int) -> None:
        calls.chmod(self._tree, self._path(path), mode, self._caller())

    def chown(self, path: str, uid: int, gid: int) -> None:
        calls.chown(self._tree, self._path(path), uid, gid, self._caller())

    def utimens(self, path: str, _times: tuple[int, int] | None = None) -> None:
        calls.utimes(self._tree, self._path(path), self._caller())

    def getxattr(self, path: str, name: str, _position: int = 0) -> bytes:
        return calls.getxattr(self._tree, self._path(path), name, self._caller())

    def setxattr(self, path: str, name: str, _value: bytes, _options: int, _position: int = 0) -> None:
        calls.setxattr(self._tree, self._path(path), name, self._caller())

    def removexattr(self, path: str, name: str) -> None:
        calls.setxattr(self._tree, self._path(path), name, self._caller())

    def mknod(self, path: str, _mode: int, _dev: int) -> None:
        self._refuse("mknod", path)

    def mkdir(self, path: str, _mode: int) -> None:
        self._refuse("mkdir", path)

    def symlink(self, path: str, _target: str) -> None:
        self._refuse("symlink", path)

    def link(self, path: str, _source: str) -> None:
        self._refuse("link", path)

    def unlink(self, path: str) -> None:
        calls.unlink(self._tree, self._path(path), self._caller())

    def rmdir(self, path: str) -> None:
        self._refuse("rmdir", path)

    def rename(self, old: str, new: str) -> None:
        calls.rename(self._tree, self._path(new), self._caller(), self._path(old))

    def _refuse(self, call: str, path: str) -> NoReturn:
        calls.refuse(self._tree, call, self._path(path), self._caller())

    def _path(self, path: str) -> str:
        # the mount point itself is "/", of a subtree as of the whole
        if self._root:
            path = self._root if path == "/" else self._root + path
        return INIT + path[found.end() :] if (found := PROCESS.match(path)) and self._asks(found[1]) else path

    def _asks(self, pid: str) -> bool:
        """Whether it is the caller's own number: as for /proc/self, who is not of the machine is init."""
        return int(pid) == fuse.fuse_get_context()[2] and int(pid) not in self._tree.machine.tasks

    def _caller(self, *, named: bool = True) -> Caller:
        """Who asks; the name is for the log, where readers do not appear: it takes longer than a read."""
        uid, gid, pid = fuse.fuse_get_context()
        root = uid in (0, self._tree.owner.uid)
        if not pid:
            return Caller(uid, gid, root)
        return Caller(uid, gid, root, pid, _comm(pid) if named else "")


def _comm(pid: int) -> str:
    """What the caller is called, on the host."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="surrogateescape").removesuffix("\n")
    except OSError:
        return INIT_COMM


def serve(
    tree: Tree,
    mountpoint: str,
    root: str,
    allow_other: bool,
    ready: Callable[[], None],
    adapter: Callable[[Tree, str, Callable[[], None]], Adapter] = Adapter,
) -> None:
    """Mount and answer until somebody unmounts, or SIGINT, SIGTERM or SIGHUP comes.

    RuntimeError when the mount fails; libfuse has then said why on standard error.
    """
    options = OPTIONS | ({"allow_other": True} if allow_other else {})
    fuse_binding.FUSE(adapter(tree, root, ready), mountpoint, foreground=True, nothreads=True, **options)
