"""The system calls of a recording's semantics/root.tsv and user1000.tsv, made on one path.

Answers are spelled as the recorder's probe spells them: ("ret=-1", "err=EACCES"). Run as a script, it makes
the calls of a JSON object {path: [call, ...]} on standard input as another user.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import mmap
import os
import select
import sys
from collections.abc import Callable
from contextlib import suppress

Answer = tuple[str, ...]

_libc = ctypes.CDLL(None, use_errno=True)
_FAR = 1 << 20


def answers(path: str, calls: set[str]) -> dict[str, Answer]:
    """Each of these calls, in the order the recorder made them."""
    if not os.path.lexists(path):
        return {"stat": _answer(lambda: _libc_call("access", path.encode(), os.F_OK))}
    made = dict(_on_path(path, calls))
    if "read_64k" in calls:
        made |= _on_reader(path)
    if {"write_empty", "ftruncate0", "fallocate"} & calls:
        made |= _on_writer(path)
    return {call: answer for call, answer in made.items() if call in calls}


def sequence(path: str, call: str) -> Answer:
    """A row of semantics/sequences.tsv."""
    answer = _two_writes(path) if call.startswith("two_writes") else _pwrite(path, int(call[-1]))
    with open(path) as file:
        return (*answer, "after=" + file.read().replace("\t", "\\t").replace("\n", "\\n"))


def write(path: str, data: bytes) -> None:
    """One write(2), whatever it answers."""
    with suppress(OSError):
        fd = os.open(path, os.O_WRONLY)
        try:
            os.write(fd, data)
        finally:
            os.close(fd)


def _pwrite(path: str, offset: int) -> Answer:
    fd = os.open(path, os.O_WRONLY)
    try:
        return _answer(lambda: os.pwrite(fd, b"5" if offset == 1 else b"7", offset))
    finally:
        os.close(fd)


def _two_writes(path: str) -> Answer:
    fd = os.open(path, os.O_WRONLY)
    try:
        pairs = [_answer(lambda data=data: os.write(fd, data)) for data in (b"1", b"0\n")]
    finally:
        os.close(fd)
    rets, errs = (",".join(part.split("=")[1] for part in column) for column in zip(*pairs, strict=True))
    return (f"ret={rets}", f"err={errs}")


def _answer(call: Callable[[], int | None]) -> Answer:
    try:
        return (f"ret={call() or 0}", "err=0")
    except OSError as error:
        return ("ret=-1", f"err={errno.errorcode[error.errno or 0].replace('ENOTSUP', 'EOPNOTSUPP')}")


def _open(path: str, flags: int) -> Answer:
    """A descriptor is 3, as in the recorder's process."""

    def opened() -> int:
        os.close(os.open(path, flags, 0o644))
        return 3

    return _answer(opened)


def _libc_call(name: str, *arguments: object) -> int:
    result: int = getattr(_libc, name)(*arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result


def _on_path(path: str, calls: set[str]) -> dict[str, Answer]:
    beside, inside = path + ".x", path + "/x"
    opens = {
        "open_rdonly": os.O_RDONLY,
        "open_wronly": os.O_WRONLY,
        "open_rdwr": os.O_RDWR,
        "open_wronly_trunc": os.O_WRONLY | os.O_TRUNC,
        "open_wronly_append": os.O_WRONLY | os.O_APPEND,
        "open_creat_trunc": os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
        "open_excl": os.O_WRONLY | os.O_CREAT | os.O_EXCL,
        "open_directory": os.O_RDONLY | os.O_DIRECTORY,
        "open_dir_wronly": os.O_WRONLY,
    }
    made: dict[str, Callable[[], int | None]] = {
        "access_R": lambda: _libc_call("access", path.encode(), os.R_OK),
        "access_W": lambda: _libc_call("access", path.encode(), os.W_OK),
        "access_X": lambda: _libc_call("access", path.encode(), os.X_OK),
        "truncate0": lambda: os.truncate(path, 0),
        "truncate5": lambda: os.truncate(path, 5),
        "mkdir_in_dir": lambda: os.mkdir(inside),
        "rmdir": lambda: os.rmdir(path),
        "unlink_missing": lambda: os.unlink(inside),
        "chmod": lambda: os.chmod(path, os.stat(path).st_mode & 0o7777),
        "chown": lambda: os.chown(path, 0, 0),
        "unlink": lambda: os.unlink(path),
        "rename": lambda: os.rename(path, beside),
        "link": lambda: os.link(path, beside),
        "symlink": lambda: os.symlink("x", beside),
        "utimes": lambda: os.utime(path),
        "listxattr": lambda: len(os.listxattr(path)),
        "getxattr_user": lambda: len(os.getxattr(path, "user.x")),
        "setxattr_user": lambda: os.setxattr(path, "user.x", b"1"),
    }
    answers = {"stat": _stat(path), "statfs": _statfs(path)}
    answers |= {name: _open(path, flags) for name, flags in opens.items() if name in calls}
    if "create_in_dir" in calls:
        answers["create_in_dir"] = _open(inside, os.O_WRONLY | os.O_CREAT)
        answers["open_missing"] = _open(inside, os.O_RDONLY)
    return answers | {name: _answer(call) for name, call in made.items() if name in calls}


def _stat(path: str) -> Answer:
    it = os.stat(path)
    values = {"nlink": it.st_nlink, "uid": it.st_uid, "gid": it.st_gid, "size": it.st_size}
    values |= {"blksize": it.st_blksize, "blocks": it.st_blocks}
    return (f"mode={it.st_mode:o}", *(f"{name}={value}" for name, value in values.items()))


def _statfs(path: str) -> Answer:
    it = os.statvfs(path)
    values = {"bsize": it.f_bsize, "blocks": it.f_blocks, "bfree": it.f_bfree, "files": it.f_files}
    return (*(f"{name}={value}" for name, value in values.items()), f"namelen={it.f_namemax}")


def _on_reader(path: str) -> dict[str, Answer]:
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return {}
    try:
        return _reads(fd) | _seeks(fd) | _rest(fd)
    finally:
        os.close(fd)


def _reads(fd: int) -> dict[str, Answer]:
    count = 0
    while count < 4096 and os.read(fd, 1):
        count += 1
    return {
        "read_1byte_at_a_time": (f"bytes={count}",),
        "lseek_set0": _answer(lambda: os.lseek(fd, 0, os.SEEK_SET)),
        "read_64k": (f"ret={len(os.read(fd, 65536))}",),
        "read_after": _answer(lambda: len(os.read(fd, 65536))),
    }


def _seeks(fd: int) -> dict[str, Answer]:
    return {
        "lseek_set3": _answer(lambda: os.lseek(fd, 3, os.SEEK_SET)),
        "read_at3_5": _answer(lambda: len(os.read(fd, 5))),
        "lseek_end": _answer(lambda: os.lseek(fd, 0, os.SEEK_END)),
        "lseek_cur": _answer(lambda: os.lseek(fd, 0, os.SEEK_CUR)),
        "lseek_neg": _answer(lambda: os.lseek(fd, -1, os.SEEK_SET)),
        "pread_at2_4": _answer(lambda: len(os.pread(fd, 4, 2))),
        "pread_past": _answer(lambda: len(os.pread(fd, 4, _FAR))),
    }


def _rest(fd: int) -> dict[str, Answer]:
    return {
        "mmap": _answer(lambda: _mmap(fd)),
        "poll": _poll(fd),
        "flock_sh": _answer(lambda: fcntl.flock(fd, fcntl.LOCK_SH)),
        "flock_un": _answer(lambda: fcntl.flock(fd, fcntl.LOCK_UN)),
        "fsync": _answer(lambda: os.fsync(fd)),
        "write_on_rdonly": _answer(lambda: os.write(fd, b"1")),
    }


def _mmap(fd: int) -> None:
    """Python's own mmap() looks at the size first."""
    _libc.mmap.restype = ctypes.c_ssize_t
    address = _libc_call("mmap", None, 4096, mmap.PROT_READ, mmap.MAP_SHARED, fd, ctypes.c_long(0))
    _libc.munmap(ctypes.c_void_p(address), 4096)


def _poll(fd: int) -> Answer:
    poll = select.poll()
    poll.register(fd, select.POLLIN | select.POLLPRI | select.POLLOUT)
    ready = poll.poll(0)
    return (f"ret={len(ready)}", *(f"revents=0x{events:x}" for _, events in ready))


def _on_writer(path: str) -> dict[str, Answer]:
    try:
        fd = os.open(path, os.O_WRONLY)
    except OSError:
        return {}
    try:
        return {
            "write_empty": _answer(lambda: os.write(fd, b"")),
            "ftruncate0": _answer(lambda: os.ftruncate(fd, 0)),
            "fallocate": _answer(
                lambda: _libc_call("fallocate", fd, 0, ctypes.c_long(0), ctypes.c_long(4096))
            ),
        }
    finally:
        os.close(fd)


def main(mount: str, who: str) -> None:
    """The ordinary user may be unable to read the interpreter's files: all is imported by now."""
    calls: dict[str, list[str]] = json.load(sys.stdin)
    if who == "user1000" and os.getuid() == 0:
        os.setgroups([])
        os.setgid(1000)
        os.setuid(1000)
    json.dump({path: answers(mount + path, set(names)) for path, names in calls.items()}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
