"""Captures come as directories and archives, from friends and from strangers."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile

import pytest
import zstandard

from vmfs.capture import archive
from vmfs.capture.source import FILE_BYTES, open_capture
from vmfs.capture.text import CaptureError

FILES = {"proc/meminfo": b"MemTotal: 4 kB\n", "sys/devices/system/node/online": b"0\n"}
PACKERS = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}


def packed(files: dict[str, bytes], *more: tarfile.TarInfo, form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for info in more:
            tar.addfile(info)
    return buffer.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.fixture
def archive_of(tmp_path):
    def write(data: bytes, name: str = "host.tar"):
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return write


@pytest.fixture
def directory(tmp_path):
    top = tmp_path / "host"
    for name, data in FILES.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(data)
    return top


def lines(source, path="proc/meminfo"):
    text = source.text(path)
    return None if text is None else text.lines


@pytest.mark.parametrize("ending", PACKERS)
@pytest.mark.parametrize("below", ["", "./", "sosreport-host/", "./sosreport-host/"])
def test_archives_of_each_kind(archive_of, ending, below):
    data = packed({below + name: data for name, data in FILES.items()})
    source = open_capture(archive_of(PACKERS[ending](data), f"host.tar{ending}"))
    assert source.name == "host"
    assert lines(source) == ("MemTotal: 4 kB",)
    assert lines(source, "sys/devices/system/node/online") == ("0",)
    assert lines(source, "proc/vmstat") is None


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names(archive_of, form):
    name = "x" * 90 + "/sys/kernel/mm/transparent_hugepage/hugepages-2048kB/stats/anon"
    files = {f"{'x' * 90}/proc/meminfo": b"M: 1\n", name: b"7\n"}
    source = open_capture(archive_of(packed(files, form=form)))
    assert lines(source, name[91:]) == ("7",)


def test_directories(directory, tmp_path):
    assert lines(open_capture(directory)) == ("MemTotal: 4 kB",)
    assert lines(open_capture(tmp_path)) == ("MemTotal: 4 kB",)  # one level down
    (tmp_path / "second" / "proc").mkdir(parents=True)
    with pytest.raises(CaptureError, match="one level down; 2 folders hold one: host, second"):
        open_capture(tmp_path)


def test_links_that_stay_inside(directory, archive_of):
    node = directory / "sys/devices/system/node"
    (directory / "sys/devices/system/cpu/cpu0").mkdir(parents=True)
    (directory / "sys/devices/system/cpu/cpu0/online").write_text("1\n")
    (node / "node0").mkdir()
    (node / "node0/cpu0").symlink_to("../../cpu/cpu0")
    (node / "node0/subsystem").symlink_to("../../../../bus/node")
    assert lines(open_capture(directory), "sys/devices/system/node/node0/cpu0/online") == ("1",)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(directory, "sosreport")
    source = open_capture(archive_of(buffer.getvalue()))
    assert lines(source, "sys/devices/system/node/node0/cpu0/online") == ("1",)
    assert lines(source, "sys/devices/system/node/node0/subsystem/x") is None


def test_hard_links(archive_of):
    link = special("proc/vmstat", tarfile.LNKTYPE, "proc/meminfo")
    assert lines(open_capture(archive_of(packed(FILES, link))), "proc/vmstat") == ("MemTotal: 4 kB",)


@pytest.mark.parametrize(
    ("members", "complaint"),
    [
        ([special("proc/loop", tarfile.SYMTYPE, "../../etc/passwd")], "proc/loop: a link .* leads out"),
        ([special("proc/self", tarfile.SYMTYPE, "/etc")], "proc/self: a link to '/etc', which leads out"),
        ([special("etc/x", tarfile.SYMTYPE, "../../../root/.ssh")], "etc/x: a link .* leads out"),
        ([special("proc/hard", tarfile.LNKTYPE, "/etc/shadow")], "proc/hard: a link .* leads out"),
        ([special("proc/hard", tarfile.LNKTYPE, "../x")], "proc/hard: a link .* leads out"),
        ([special("proc/hard", tarfile.LNKTYPE, "proc/none")], "proc/hard: a hard link .* no file"),
        ([special("../escape", tarfile.REGTYPE)], r"\.\./escape: a member's name that leads out"),
        ([special("/etc/passwd", tarfile.REGTYPE)], "/etc/passwd: a member's name that leads out"),
        ([special("proc/zero", tarfile.CHRTYPE)], "proc/zero: a character device"),
        ([special("proc/disk", tarfile.BLKTYPE)], "proc/disk: a block device"),
        ([special("sys/pipe", tarfile.FIFOTYPE)], "sys/pipe: a fifo"),
        ([special("proc/meminfo", tarfile.REGTYPE)], "proc/meminfo: is in host.tar twice"),
        ([special("proc/sys/vm/" + "a/" * 40 + "b", tarfile.REGTYPE)], "deeper than 32"),
    ],
)
def test_hostile_members(archive_of, members, complaint):
    with pytest.raises(CaptureError, match=complaint):
        open_capture(archive_of(packed(FILES, *members)))


def test_hostile_directories(directory):
    bad = directory / "proc/bad"
    bad.symlink_to("/etc/passwd")
    with pytest.raises(CaptureError, match="proc/bad: a link to '/etc/passwd', which leads out"):
        open_capture(directory)
    bad.unlink()
    os.mkfifo(bad)
    with pytest.raises(CaptureError, match="proc/bad: a device, fifo or socket"):
        open_capture(directory)
    bad.unlink()
    bad.symlink_to("bad")
    with pytest.raises(CaptureError, match="16 symbolic links"):
        open_capture(directory).text("proc/bad")


def test_links_in_place_of_folders_are_not_followed(directory, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/secret").write_text("1\n")
    (directory / "proc/sys").mkdir()
    (directory / "proc/sys/vm").symlink_to(tmp_path / "elsewhere")
    assert lines(open_capture(directory), "proc/sys/vm/secret") is None


def test_huge_file(archive_of):
    with pytest.raises(CaptureError, match="proc/kcore: larger than 32 MiB"):
        open_capture(archive_of(gzip.compress(packed({"proc/kcore": bytes(FILE_BYTES + 1)}))))
    # One that is never asked for is passed over.
    log = {"var/log/messages": bytes(FILE_BYTES + 1)}
    assert lines(open_capture(archive_of(gzip.compress(packed(FILES | log))))) == ("MemTotal: 4 kB",)


def bomb(size: int, pack) -> bytes:
    info = tarfile.TarInfo("var/log/zero")
    info.size = size
    chunk = bytes(1 << 20)
    packer, out = pack(), b""
    for piece in (info.tobuf(), *[chunk] * (size >> 20)):
        out += packer.compress(piece)
    return out + packer.flush()


@pytest.mark.parametrize("pack", [bz2.BZ2Compressor, lzma.LZMACompressor], ids=["bz2", "xz"])
def test_decompression_bomb(archive_of, pack):
    with pytest.raises(CaptureError, match=r"a decompression bomb: .* MiB out of"):
        open_capture(archive_of(bomb(200 << 20, pack)))


def test_million_members(archive_of, monkeypatch):
    monkeypatch.setattr(archive, "MEMBERS", 100)
    many = {f"proc/{n}": b"" for n in range(101)}
    with pytest.raises(CaptureError, match="more than 100 members"):
        open_capture(archive_of(packed(many)))


def test_a_header_that_claims_gigabytes(archive_of):
    info = special("x", tarfile.GNUTYPE_LONGNAME)
    info.size = 5 << 30
    with pytest.raises(CaptureError, match="a header of 5368709120 bytes"):
        open_capture(archive_of(info.tobuf(tarfile.GNU_FORMAT)))


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "the archive is empty"),
        (b"no tar at all\n" * 100, "not a tar archive"),
        (packed(FILES)[:700], "the archive is cut"),
        (gzip.compress(packed(FILES))[:-60], "the archive is (cut|damaged)"),
        (lzma.compress(packed(FILES))[:-60], "the archive is (cut|damaged)"),
        (b"\x1f\x8b" + bytes(50), "the archive is damaged"),
        (b"\x28\xb5\x2f\xfd" + b"\xff" * 50, "the archive is damaged"),
        (packed({"etc/passwd": b""}), "holds proc/ at its top or one level down; there is none"),
    ],
)
def test_what_is_no_archive(archive_of, data, complaint):
    with pytest.raises(CaptureError, match=complaint):
        open_capture(archive_of(data))


def test_no_such_place(tmp_path):
    with pytest.raises(CaptureError, match="nowhere: No such file or directory"):
        open_capture(tmp_path / "nowhere")


def test_zst_without_its_package(archive_of, monkeypatch):
    import builtins

    real = builtins.__import__
    monkeypatch.setattr(
        builtins,
        "__import__",
        lambda name, *a, **k: (
            (_ for _ in ()).throw(ImportError) if name == "zstandard" else real(name, *a, **k)
        ),
    )
    with pytest.raises(CaptureError, match=r"zst needs the package zstandard: pip install 'vmfs\[zstd\]'"):
        open_capture(archive_of(PACKERS[".zst"](packed(FILES)), "host.tar.zst"))


def test_nothing_is_written(archive_of, tmp_path):
    path = archive_of(packed(FILES))
    before = sorted(tmp_path.rglob("*"))
    open_capture(path)
    assert sorted(tmp_path.rglob("*")) == before
