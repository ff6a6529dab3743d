"""Reading a tar archive front to back, with limits, unpacking nothing.

tarfile reads headers here and no more: its own walk keeps every member and trusts every size, so a
small hostile archive can cost it any amount of memory and time.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from vmfs.capture.text import CaptureError

MEMBERS = 400_000
UNPACKED_BYTES = 8 << 30
RATIO = 250
"""Real reports pack 10 to 50 to 1; nothing but a bomb packs tighter than this for long."""
_RATIO_FROM = 64 << 20
_HEADER_BYTES = 64 << 10
_NAME_BYTES = 4096
_CHUNK = 1 << 20

_REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_PAX = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
_LONG = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_REFUSED = {
    tarfile.CHRTYPE: "a character device",
    tarfile.BLKTYPE: "a block device",
    tarfile.FIFOTYPE: "a fifo",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}


@dataclass(frozen=True, slots=True)
class Member:
    """A file, or a link to `target`: relative to the archive's top if `hard`, to its own folder if not."""

    name: str
    data: bytes = b""
    target: str = ""
    hard: bool = False


def members(place: Path, keep: Callable[[str], bool], file_bytes: int) -> Iterator[Member]:
    """The kept files and links of an archive, in its order. Raises CaptureError."""
    with place.open("rb") as raw:
        stream = _Stream(str(place), raw)
        for count, (info, name) in enumerate(_headers(stream)):
            if count >= MEMBERS:
                raise stream.error(f"more than {MEMBERS} members")
            if info.type in (tarfile.SYMTYPE, tarfile.LNKTYPE) and keep(name):
                yield Member(name, target=info.linkname, hard=info.type == tarfile.LNKTYPE)
            if info.type in _REGULAR and keep(name):
                if info.size > file_bytes:
                    raise CaptureError(name, 0, f"larger than {file_bytes >> 20} MiB")
                yield Member(name, stream.read(info.size))
                stream.skip(-info.size % tarfile.BLOCKSIZE)
            else:
                stream.skip(info.size + -info.size % tarfile.BLOCKSIZE)


class _Stream:
    # The unpacked bytes of an archive, refused where they turn out to be a bomb.
    def __init__(self, name: str, raw: IO[bytes]) -> None:
        self.name = name
        self.raw = raw
        self.done = 0
        self.file, self.faults = _unpacker(name, raw)

    def error(self, reason: str) -> CaptureError:
        return CaptureError(self.name, 0, reason)

    def read(self, size: int) -> bytes:
        data = self.some(size)
        if len(data) < size:
            raise self.error("the archive is cut")
        return data

    def some(self, size: int) -> bytes:
        try:
            data = self.file.read(size)
        except self.faults as error:
            raise self.error(f"the archive is damaged: {error}") from None
        self.done += len(data)
        if self.file is not self.raw:
            packed = max(self.raw.tell(), 1)
            if self.done > UNPACKED_BYTES or (self.done > _RATIO_FROM and self.done > RATIO * packed):
                raise self.error(f"a decompression bomb: {self.done >> 20} MiB out of {packed >> 10} KiB")
        return data

    def skip(self, size: int) -> None:
        if self.file is self.raw:
            self.raw.seek(size, 1)
            return
        while size > 0:
            size -= len(self.read(min(size, _CHUNK)))


def _unpacker(name: str, raw: IO[bytes]) -> tuple[IO[bytes], tuple[type[Exception], ...]]:
    # The format is told by its first bytes, not by the archive's name.
    magic = raw.read(6)
    raw.seek(0)
    if magic.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=raw), (OSError, EOFError, zlib.error)  # type: ignore[return-value]
    if magic.startswith(b"BZh"):
        return bz2.BZ2File(raw), (OSError, EOFError)
    if magic == b"\xfd7zXZ\0":
        return lzma.LZMAFile(raw), (lzma.LZMAError, EOFError)
    if magic.startswith(b"\x28\xb5\x2f\xfd"):
        zstandard = zstandard_or_refuse(name)
        reader = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True)
        return reader, (zstandard.ZstdError,)
    return raw, ()


def zstandard_or_refuse(name: str) -> Any:
    """The optional package that .zst needs."""
    try:
        import zstandard
    except ImportError:
        raise CaptureError(name, 0, "zst needs the package zstandard: pip install 'vmfs[zstd]'") from None
    return zstandard


def _headers(stream: _Stream) -> Iterator[tuple[tarfile.TarInfo, str]]:
    # Each member with its name; long names and pax records are folded in. The data is left unread.
    long: dict[str, str] = {}
    while (block := stream.some(tarfile.BLOCKSIZE)).strip(b"\0"):
        info = _header(stream, block)
        if info.type in _PAX or info.type in _LONG:
            long |= _extra(stream, info)
            continue
        info.name, info.linkname = long.get("path", info.name), long.get("linkpath", info.linkname)
        if "size" in long:
            info.size = _size(stream, long["size"])
        if any(key.startswith("GNU.sparse") for key in long):
            info.type = tarfile.GNUTYPE_SPARSE
        if info.type in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE):
            info.size = 0
        yield info, _checked(info)
        long = {}
    if not block:
        raise stream.error("the archive is cut" if stream.done else "the archive is empty")
    while stream.some(_CHUNK):
        pass  # the checksum of the packed data comes last


def _header(stream: _Stream, block: bytes) -> tarfile.TarInfo:
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        first = stream.done <= tarfile.BLOCKSIZE
        reason = "not a tar archive (plain, gz, bz2, xz or zst)" if first else f"damaged: {error}"
        raise stream.error(reason) from None
    if info.size < 0:
        raise stream.error("damaged: a negative size")
    return info


def _extra(stream: _Stream, info: tarfile.TarInfo) -> dict[str, str]:
    # A global pax header says nothing that is asked for here.
    if info.size > _HEADER_BYTES:
        raise stream.error(f"a header of {info.size} bytes; {_HEADER_BYTES} are accepted")
    data = stream.read(info.size)
    stream.skip(-info.size % tarfile.BLOCKSIZE)
    if info.type in _LONG:
        key = "path" if info.type == tarfile.GNUTYPE_LONGNAME else "linkpath"
        return {key: data.split(b"\0")[0].decode(errors="surrogateescape")}
    return {} if info.type == tarfile.XGLTYPE else _pax_records(stream, data)


def _pax_records(stream: _Stream, data: bytes) -> dict[str, str]:
    # "LENGTH key=value\n", the length counting itself.
    records: dict[str, str] = {}
    while data.strip(b"\0"):
        head, blank, _ = data.partition(b" ")
        length = int(head) if blank and head.isdigit() and len(head) < len(str(_HEADER_BYTES)) + 1 else 0
        record = data[len(head) + 1 : length]
        key, equals, value = record.removesuffix(b"\n").partition(b"=")
        if length <= len(head) or not equals or not record.endswith(b"\n"):
            raise stream.error("damaged: a pax header that cannot be read")
        records[key.decode(errors="replace")] = value.decode(errors="surrogateescape")
        data = data[length:]
    return records


def _size(stream: _Stream, word: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) <= len(str(1 << 63))):
        raise stream.error("damaged: a pax size that is no number")
    return int(word)


def _checked(info: tarfile.TarInfo) -> str:
    # The name without "./" before and "/" behind; nothing in the archive may point out of it.
    name = info.name[:_NAME_BYTES]
    shown = name.encode(errors="replace").decode()
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or len(info.name) > _NAME_BYTES:
        raise CaptureError(shown, 0, "a member's name that leads out of the archive, or is too long")
    if info.type in _REFUSED:
        raise CaptureError(shown, 0, f"{_REFUSED[info.type]} has no place in a capture")
    if info.type in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        base = parts[:-1] if info.type == tarfile.SYMTYPE else []
        _stays_inside(shown, base, info.linkname)
    return "/".join(parts)


def _stays_inside(name: str, base: list[str], target: str) -> None:
    depth = len(base)
    for part in target.split("/"):
        depth += {"": 0, ".": 0, "..": -1}.get(part, 1)
        if depth < 0 or target.startswith("/"):
            raise CaptureError(name, 0, f"a link to {target!r}, which leads out of the archive")
