"""What libfuse 2.9 has and fusepy does not bind: poll(2), fallocate(2), and what differs by open file.

fusepy makes its table of operations from the fields of one ctypes structure; a longer one with the
operations that follow in `struct fuse_operations` (fuse.h) is all it takes.
"""

from __future__ import annotations

import ctypes
from ctypes import CFUNCTYPE, POINTER, c_char_p, c_int, c_uint, c_void_p
from typing import Any

import fuse

_FILE_INFO = POINTER(fuse.fuse_file_info)


class Operations(ctypes.Structure):
    """struct fuse_operations of libfuse 2.9; those not bound here are left empty."""

    _fields_ = [  # ctypes wants a list
        *fuse.fuse_operations._fields_,  # that is how a structure is looked at
        ("poll", CFUNCTYPE(c_int, c_char_p, _FILE_INFO, c_void_p, POINTER(c_uint))),
        ("write_buf", c_void_p),
        ("read_buf", c_void_p),
        ("flock", c_void_p),
        ("fallocate", CFUNCTYPE(c_int, c_char_p, c_int, fuse.c_off_t, fuse.c_off_t, _FILE_INFO)),
    ]


fuse.fuse_operations = Operations


class FUSE(fuse.FUSE):  # type: ignore[misc] # without stubs
    """The main loop, with an `operations` object that is asked for these as well:

    create(path, flags, mode) -> fh             is_mapped(fh) -> bool
    write_page(path, data, offset, fh) -> int   fallocate(path, mode, offset, length, fh)
    poll(path, fh, handle) -> events            `handle` wakes the poller once, see `wake`; 0 for none
    """

    def open(self, path: bytes, info: Any) -> int:
        return self._opened(info, self.operations("open", path.decode(self.encoding), info.contents.flags))

    def create(self, path: bytes, mode: int, info: Any) -> int:
        flags = info.contents.flags
        return self._opened(info, self.operations("create", path.decode(self.encoding), flags, mode))

    def _opened(self, info: Any, fh: int) -> int:
        """Pages of a text are not cached: a descriptor that is rewound would show the first text for ever."""
        info.contents.fh = fh
        mapped = self.operations("is_mapped", None, fh)
        info.contents.direct_io, info.contents.keep_cache = not mapped, mapped
        return 0

    def write(self, path: bytes | None, buffer: Any, size: int, offset: int, info: Any) -> int:
        data = ctypes.string_at(buffer, size)
        call = "write_page" if info.contents.writepage else "write"
        taken: int = self.operations(call, self._decode_optional_path(path), data, offset, info.contents.fh)
        return taken

    def poll(self, path: bytes | None, info: Any, handle: int | None, events: Any) -> int:
        asked = (self._decode_optional_path(path), info.contents.fh, handle or 0)
        events[0] = self.operations("poll", *asked)
        return 0

    def fallocate(self, path: bytes | None, mode: int, offset: int, length: int, info: Any) -> int:
        asked = (self._decode_optional_path(path), mode, offset, length, info.contents.fh)
        self.operations("fallocate", *asked)
        return 0


_notify = fuse._libfuse.fuse_notify_poll  # noqa: SLF001  # the library that fusepy has found
_notify.argtypes = [c_void_p]
_destroy = fuse._libfuse.fuse_pollhandle_destroy  # noqa: SLF001
_destroy.argtypes = [c_void_p]
_destroy.restype = None


def wake(handle: int) -> None:
    """Wake who sleeps in poll(2); the handle is used up."""
    _notify(handle)
    forget(handle)


def forget(handle: int) -> None:
    _destroy(handle)
