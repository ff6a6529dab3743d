"""Any damage to a capture gives a machine or a CaptureError: no other exception, and no hang."""

from __future__ import annotations

import io
import re
import tarfile
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import recordings
from vmfs import capture
from vmfs.capture import build
from vmfs.capture.source import Source, open_capture, wanted
from vmfs.capture.text import CaptureError
from vmfs.tree import Tree

PROC = ("meminfo", "zoneinfo", "buddyinfo", "pagetypeinfo", "slabinfo", "vmstat", "swaps", "stat", "cpuinfo")
READ = (  # there on every kernel
    *(f"/proc/{name}" for name in (*PROC, "loadavg", "iomem", "mounts", "pressure/cpu")),
    "/sys/devices/system/cpu/cpu{}/cache/index0/size",
    "/sys/devices/system/cpu/cpu{}/topology/core_id",
)
STEPS = (
    ("small-6.1", 0),
    ("article-6.1", 33),
    ("latest-7.2", 29),
    ("highmem-i386-6.1", 0),
    ("server-5.10", 36),
)
PARSED = re.compile(
    r"proc/(\w+)|proc/pressure/\w+|proc/sys/vm/(min_free_kbytes|lowmem\w+|nr_\w+|overcommit_\w+|watermark\w+)"
    r"|sys/devices/system/node/.*|sys/kernel/mm/hugepages/.*|sys/kernel/mm/transparent_hugepage/enabled"
)


@cache
def captured(name: str, number: int) -> dict[str, bytes]:
    step = recordings.steps(recordings.load(name))[number]
    paths = (str(path.relative_to(step)) for path in sorted(step.rglob("*")) if path.is_file())
    return {path: (step / path).read_bytes() for path in paths if wanted(path)}


@cache
def parsed(name: str, number: int) -> list[str]:
    return [path for path, data in captured(name, number).items() if data and PARSED.fullmatch(path)]


NUMBERS = st.sampled_from(
    [
        *(
            b"0",
            b"1",
            b"7",
            b"4096",
            b"99999",
            b"4294967296",
            b"1152921504606846975",
            b"18446744073709551615",
        ),
        *(b"-1", b"", b"x", b"1e9", b"0x10", b"9" * 400, "\u0663".encode()),
    ]
)


@st.composite
def damage(draw) -> tuple[str, dict[str, bytes]]:
    """A recorded step with one to three files damaged."""
    name, number = draw(st.sampled_from(STEPS))
    files = dict(captured(name, number))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(parsed(name, number)))
        files[path] = draw(
            st.sampled_from([cut, line_gone, line_twice, lines_swapped, number_changed, bytes_changed])
        )(draw, files[path])
    return name, files


def cut(draw, data: bytes) -> bytes:
    return data[: draw(st.integers(0, max(len(data) - 1, 0)))]


def lines_of(draw, data: bytes) -> tuple[list[bytes], int]:
    lines = data.splitlines(keepends=True) or [b"\n"]
    return lines, draw(st.integers(0, len(lines) - 1))


def line_gone(draw, data: bytes) -> bytes:
    lines, at = lines_of(draw, data)
    return b"".join(lines[:at] + lines[at + draw(st.integers(1, 9)) :])


def line_twice(draw, data: bytes) -> bytes:
    lines, at = lines_of(draw, data)
    return b"".join([*lines[:at], lines[at], *lines[at:]])


def lines_swapped(draw, data: bytes) -> bytes:
    lines, at = lines_of(draw, data)
    other = draw(st.integers(0, len(lines) - 1))
    lines[at], lines[other] = lines[other], lines[at]
    return b"".join(lines)


def number_changed(draw, data: bytes) -> bytes:
    spots = list(re.finditer(rb"\d+", data))
    if not spots:
        return data
    spot = draw(st.sampled_from(spots))
    return data[: spot.start()] + draw(NUMBERS) + data[spot.end() :]


def bytes_changed(draw, data: bytes) -> bytes:
    at = draw(st.integers(0, max(len(data) - 1, 0)))
    return data[:at] + draw(st.binary(min_size=1, max_size=8)) + data[at + draw(st.integers(0, 8)) :]


@settings(
    max_examples=400,
    deadline=10_000,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)
@given(damaged=damage())
def test_a_machine_or_a_refusal(monkeypatch, damaged):
    name, files = damaged
    monkeypatch.setattr(build, "open_capture", lambda _: Source(name, dict(files)))
    try:
        machine, _ = capture.load("any")
    except CaptureError as refusal:
        assert str(refusal).startswith(refusal.file)  # noqa: PT017  # only refusals get here
        return
    tree = Tree(machine)
    for path in READ:
        assert tree.read_bytes(path.format(machine.hardware.online_cpus[0])).endswith(b"\n")


@cache
def archive() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(recordings.steps(recordings.load("small-6.1"))[0] / "proc", "proc")
    return buffer.getvalue()


@settings(max_examples=200, deadline=10_000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    spots=st.lists(
        st.tuples(st.integers(0, 1 << 20), st.binary(min_size=1, max_size=16)), min_size=1, max_size=4
    ),
    length=st.none() | st.integers(0, 1 << 20),
    block=st.booleans(),
)
def test_a_damaged_archive(tmp_path, spots, length, block):
    data = bytearray(archive())
    for at, piece in spots:
        # Headers are where it hurts: at the start of a block.
        start = at % len(data) // 512 * 512 if block else at % len(data)
        data[start : start + len(piece)] = piece
    path = Path(tmp_path / "damaged.tar")
    path.write_bytes(bytes(data[:length]))
    try:
        source = open_capture(path)
        for name in source.files:
            source.text(name)
    except CaptureError as refusal:
        assert str(refusal).startswith(refusal.file)  # noqa: PT017


@pytest.mark.parametrize(
    "path", ["proc/zoneinfo", "proc/vmstat", "proc/slabinfo", "proc/stat", "proc/pagetypeinfo"]
)
def test_a_large_file_of_nonsense_is_refused_at_once(monkeypatch, path):
    files = captured("small-6.1", 0) | {
        path: b"Node 0, zone " + b" " * 1_000_000 + b"x\n" + b"1" * 5_000_000 + b"\n"
    }
    monkeypatch.setattr(build, "open_capture", lambda _: Source("small", files))
    with pytest.raises(CaptureError, match=path):
        capture.load("any")
