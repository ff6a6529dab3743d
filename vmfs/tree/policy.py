"""What each kind of filesystem answers at the system call level, as root and as another user.

Every errno here was recorded on real kernels (tests/recorded/*/semantics). procfs and sysfs
permit by mode bits and let root pass; proc_sys_permission() gives root no such override, and
kernfs_fop_open() asks for the bit and for the operation whoever opens.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from errno import EACCES, EINVAL, EIO, ENODATA, ENOENT, ENOTDIR, EOPNOTSUPP, EPERM
from typing import Any, NamedTuple

from vmfs.mm.current import INIT, Current
from vmfs.views.entry import File

KERNFS_WRITE_BYTES = 4096
"""fs/kernfs/file.c: kernfs_fop_write_iter() passes on one page."""


class Caller(NamedTuple):
    """Who makes a system call. `root`: uid 0, or the user whose machine it is. By default it is init."""

    uid: int
    gid: int
    root: bool
    pid: int = INIT.pid
    comm: str = INIT.comm

    @property
    def current(self) -> Current:
        """The process as the machine sees it."""
        return Current(self.comm, self.pid, 0 if self.root else self.uid)


def error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def listed_by_name(name: str) -> Any:
    return name


def listed_by_length(name: str) -> Any:
    """fs/proc/generic.c: proc_match() compares lengths first; proc_fill_super() and processes follow."""
    if name.isdigit():
        return 2, int(name), name
    return name in ("self", "thread-self"), len(name), name


@dataclass(frozen=True, slots=True)
class Policy:
    """`changes`: what a call that would change a directory answers, to root and to others."""

    name: str
    directory_mode: int
    blksize: int
    changes: Mapping[str, tuple[int, int]]
    getxattr: int = EOPNOTSUPP
    setxattr: int = EOPNOTSUPP
    fsync: int = 0
    root_overrides: bool = True  # CAP_DAC_OVERRIDE counts
    attributes_change: bool = True  # chmod and chown work
    opens_what_it_has: bool = False  # kernfs: a bit and an operation, also for root
    nlink_counts: bool = True  # a directory's link count has its subdirectories
    order: Callable[[str], Any] = listed_by_name

    def permits(self, mode: int, wanted: int, bits: int, root: bool) -> bool:
        """generic_permission(): `wanted` is of R_OK, W_OK, X_OK; `bits` the caller's three of `mode`."""
        if wanted & ~bits == 0:
            return True
        executes = bool(wanted & os.X_OK) and not mode & 0o111
        return root and self.root_overrides and not executes

    def check_open(self, file: File[Any], mode: int, wanted: int) -> None:
        """kernfs_fop_open(), where it applies."""
        if not self.opens_what_it_has:
            return
        for bit, any_of, verb in ((os.R_OK, 0o444, file.read), (os.W_OK, 0o222, file.write)):
            if wanted & bit and not (mode & any_of and verb):
                raise error(EACCES)

    def write(self, file: File[Any], subject: Any, data: bytes, offset: int) -> int:
        """How many bytes the file's handler took."""
        if file.write is None:
            raise error(EIO)
        if not self.opens_what_it_has:
            return file.write(subject, data, offset)
        return file.write(subject, data[:KERNFS_WRITE_BYTES], 0) if data else 0


NOT_FOUND = (ENOENT, ENOENT)
REFUSED = (EPERM, EACCES)

PROC_CHANGES = {
    "create": NOT_FOUND,
    "mknod": NOT_FOUND,
    "mkdir": NOT_FOUND,
    "link": NOT_FOUND,
    "symlink": NOT_FOUND,
    "rename": NOT_FOUND,
    "replace": REFUSED,
    "unlink": REFUSED,
    "rmdir": REFUSED,
}
"""A name that is not there fails in the lookup, before anybody asks whether it may be made."""

SYSFS_CHANGES = {
    **dict.fromkeys(PROC_CHANGES, REFUSED),
    "create": (EACCES, EACCES),
    "link": (EPERM, EPERM),
}

PROC = Policy("proc", 0o555, 1024, PROC_CHANGES, fsync=EINVAL, order=listed_by_length)
SYSCTL = Policy(
    "sysctl",
    0o555,
    1024,
    {**PROC_CHANGES, **dict.fromkeys(("replace", "unlink", "rmdir"), (EACCES, EACCES))},
    fsync=EINVAL,
    root_overrides=False,
    attributes_change=False,
    nlink_counts=False,
)
SYSFS = Policy("sysfs", 0o755, 4096, SYSFS_CHANGES, getxattr=ENODATA, opens_what_it_has=True)
CONTROL = Policy("control", 0o755, 4096, SYSFS_CHANGES)
DEV = Policy("devtmpfs", 0o755, 4096, dict.fromkeys(PROC_CHANGES, REFUSED))
HUGETLBFS = Policy("hugetlbfs", 0o755, 4096, {**DEV.changes, "rmdir": (ENOTDIR, ENOTDIR)})

PID_ENTRIES = [
    "task",
    "fd",
    "fdinfo",
    "environ",
    "status",
    "limits",
    "comm",
    "cmdline",
    "stat",
    "statm",
    "maps",
    "numa_maps",
    "cwd",
    "root",
    "exe",
    "mounts",
    "mountinfo",
    "smaps",
    "smaps_rollup",
    "wchan",
    "cpuset",
    "cgroup",
    "oom_score",
    "oom_adj",
    "oom_score_adj",
    "loginuid",
    "sessionid",
    "io",
]
"""fs/proc/base.c: the order of tgid_base_stuff[]."""

PID = replace(PROC, name="pid", order=PID_ENTRIES.index)

ROOTS = (("/proc/sys", SYSCTL), ("/proc", PROC), ("/sys", SYSFS), ("/dev", DEV))
"""The first prefix that fits decides; what no kernel has is CONTROL."""


def policy_of(path: str) -> Policy:
    if re.fullmatch(r"/proc/\d+(/task/\d+)?", path):
        return PID
    if path.startswith("/dev/hugepages"):
        return HUGETLBFS
    return next((p for root, p in ROOTS if path == root or path.startswith(root + "/")), CONTROL)
