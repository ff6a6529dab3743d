"""/proc/sys/fs: one row a file (fs/*.c). Left out: the directories below."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmfs.kernel import Feature
from vmfs.mm.mmzone import PAGE_SIZE
from vmfs.views.codec import Either, Int, Number, UInt, ULong
from vmfs.views.entry import Dir, top
from vmfs.views.tunable import constant, tunable

if TYPE_CHECKING:
    from vmfs.kernel import Kernel
    from vmfs.mm.machine import Machine

PIPE_SIZE_MAX = 1 << 31
DENTRY_AGE_LIMIT_SECS = 45


class PipeSize(UInt):
    """fs/pipe.c: do_proc_dopipe_max_size_conv(): rounded up to a power of two of pages."""

    def convert(self, number: Number, old: int, kernel: Kernel) -> int | None:
        size = super().convert(number, old, kernel)
        if not size or size > PIPE_SIZE_MAX:
            return None
        return max(PAGE_SIZE, 1 << (size - 1).bit_length())


def objects(machine: Machine, ending: str) -> int:
    """Live objects in the caches whose names end so."""
    return sum(cache.active_objs for cache in machine.slab_caches if cache.name.endswith(ending))


def dentry_state(machine: Machine) -> str:
    """All dentries count as unused, none as negative: no task holds a file open."""
    dentries = objects(machine, "dentry")
    return f"{dentries}\t{dentries}\t{DENTRY_AGE_LIMIT_SECS}\t0\t0\t0"


def inode_nr(machine: Machine) -> str:
    return f"{objects(machine, 'inode_cache')}\t0"


def file_nr(machine: Machine) -> str:
    """Open files are those of the cache; the middle number has been 0 since 2.6."""
    return f"{objects(machine, 'filp')}\t0\t{machine.sysctl.file_max}"


BOOL = Int(0, 1)
OLD_ID = Int(0, 65535)
NR_OPEN = Either(Feature.HIGHMEM, Int(32, 0x3FFFFFE0), Int(64, 0x7FFFFFC0))
FILE_MAX = Either(Feature.HIGHMEM, ULong(0, (1 << 31) - 1), ULong(0, (1 << 63) - 1))


def _protected(mode: int, needs: Feature) -> Dir[Machine]:
    return top(
        "/proc/sys/fs",
        tunable("protected_fifos", Int(0, 2), mode=mode),
        tunable("protected_hardlinks", BOOL, mode=mode),
        tunable("protected_regular", Int(0, 2), mode=mode),
        tunable("protected_symlinks", BOOL, mode=mode),
        needs=needs,
    )


DIRS = (
    top(
        "/proc/sys/fs",
        tunable("aio-max-nr", ULong()),
        constant("aio-nr", lambda _: 0),
        tunable("dentry-negative", BOOL, needs=Feature.DENTRY_NEGATIVE),
        constant("dentry-state", dentry_state),
        tunable("dir-notify-enable", Int()),
        tunable("file-max", FILE_MAX),
        constant("file-nr", file_nr),
        constant("inode-nr", inode_nr),
        constant("inode-state", lambda machine: inode_nr(machine) + "\t0\t0\t0\t0\t0"),
        tunable("lease-break-time", Int()),
        tunable("leases-enable", Int()),
        tunable("mount-max", Int(1)),
        tunable("nr_open", NR_OPEN),
        tunable("overflowgid", OLD_ID, "fs_overflowgid"),
        tunable("overflowuid", OLD_ID, "fs_overflowuid"),
        tunable("pipe-max-size", PipeSize()),
        tunable("pipe-user-pages-hard", ULong()),
        tunable("pipe-user-pages-soft", ULong()),
        tunable("suid_dumpable", Int(0, 2)),
    ),
    _protected(0o600, Feature.PROTECTED_LINKS_SECRET),
    _protected(0o644, Feature.PROTECTED_LINKS_PUBLIC),
)
