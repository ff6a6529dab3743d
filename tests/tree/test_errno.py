"""The errno of each kind of filesystem, against the system calls recorded on real kernels."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

import pytest

from tests import recordings
from tests.small_machine import small_machine
from vmfs.kernel import Arch, release_of
from vmfs.tree import Caller, Directory, Tree, calls

ROOT = Caller(0, 0, root=True)
USER = Caller(1000, 1000, root=False)

Call = Callable[[Tree, str, Caller], object]


def opened(flags: int) -> Call:
    def call(tree: Tree, path: str, caller: Caller) -> object:
        if isinstance(tree.entry(path), Directory):
            return calls.access(tree, path, os.R_OK, caller)
        return tree.open(path, flags, caller)

    return call


def refused(name: str, below: str = "") -> Call:
    return lambda tree, path, caller: calls.refuse(tree, name, path + below, caller)


CALLS: dict[str, Call] = {
    "access_R": lambda t, p, c: calls.access(t, p, os.R_OK, c),
    "access_W": lambda t, p, c: calls.access(t, p, os.W_OK, c),
    "access_X": lambda t, p, c: calls.access(t, p, os.X_OK, c),
    "open_rdonly": opened(os.O_RDONLY),
    "open_wronly": opened(os.O_WRONLY),
    "open_rdwr": opened(os.O_RDWR),
    "open_wronly_trunc": opened(os.O_WRONLY | os.O_TRUNC),
    "open_wronly_append": opened(os.O_WRONLY | os.O_APPEND),
    "truncate0": calls.truncate,
    "truncate5": calls.truncate,
    "write_empty": lambda t, p, c: t.open(p, os.O_WRONLY, c).write(b"", 0),
    "fsync": lambda t, p, _c: calls.fsync(t, p),
    "chmod": lambda t, p, c: calls.chmod(t, p, t.entry(p).mode, c),
    "chown": lambda t, p, c: calls.chown(t, p, 0, 0, c),
    "utimes": calls.utimes,
    "getxattr_user": lambda t, p, c: calls.getxattr(t, p, "user.x", c),
    "setxattr_user": lambda t, p, c: calls.setxattr(t, p, "user.x", c),
    "unlink": refused("unlink"),
    "rmdir": refused("rmdir"),
    "link": refused("link"),
    "symlink": refused("symlink"),
    "rename": lambda t, p, c: calls.rename(t, p + ".x", c),
    "create_in_dir": refused("create", "/x"),
    "mkdir_in_dir": refused("mkdir", "/x"),
    "open_missing": lambda t, p, c: t.open(p + "/x", os.O_RDONLY, c),
}

VFS = {
    ("unlink", "EISDIR"),  # may_delete()
}
"""Answers the kernel gives before any filesystem is asked."""


def tree_of(recording: str) -> Tree:
    release = release_of(recording.rsplit("-", 1)[1])
    assert release
    tree = Tree(small_machine(release, Arch.I386 if "i386" in recording else Arch.X86_64))
    tree.owner = ROOT
    return tree


@pytest.mark.parametrize("who", ["root", "user1000"])
@pytest.mark.parametrize("recording", recordings.names())
def test_every_recorded_call_has_its_errno(recording: str, who: str) -> None:
    tree = tree_of(recording)
    caller = ROOT if who == "root" else USER
    rows = recordings.syscalls_table(recordings.load(recording), who)
    present = {row.path for row in rows if row.call == "stat" and "ENOENT" not in "".join(row.answer)}

    wrong, compared = [], 0
    for row in rows:
        recorded = next((a.removeprefix("err=") for a in row.answer if a.startswith("err=")), None)
        if row.call not in CALLS or row.path not in present or (row.call, recorded) in VFS:
            continue
        compared += 1
        if (ours := answer(CALLS[row.call], tree, row.path, caller)) != recorded:
            wrong.append(f"{row.path} {row.call}: recorded {recorded}, ours {ours}")

    assert not wrong
    assert compared > 100


def answer(call: Call, tree: Tree, path: str, caller: Caller) -> str:
    try:
        call(tree, path, caller)
    except OSError as fault:
        return errno.errorcode[fault.errno or 0].replace("ENOTSUP", "EOPNOTSUPP")
    return "0"


@pytest.mark.parametrize("recording", recordings.names())
def test_modes_and_links_are_the_recorded_ones(recording: str) -> None:
    tree = tree_of(recording)
    for who in ("root", "user1000"):
        for row in recordings.syscalls_table(recordings.load(recording), who):
            if row.call == "stat" and "err=ENOENT" not in row.answer:
                kernel = dict(cell.split("=") for cell in row.answer)
                ours = tree.stat(row.path)
                assert f"{ours.st_mode:o}" == kernel["mode"], row
                assert str(ours.st_blksize) == kernel["blksize"], row
                if not isinstance(tree.entry(row.path), Directory) or row.path.startswith("/proc/sys"):
                    assert str(ours.st_nlink) == kernel["nlink"], row
