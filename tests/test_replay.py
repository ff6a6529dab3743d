"""Recorded kernels replayed through the mount: the same text at boot, the same numbers after each write."""

import os
from pathlib import Path

import pytest

from tests import recordings
from tests.conformance import machine, writes
from tests.conformance.agreement import Agreement
from tests.mounting import mounted

RECORDINGS = ("small-6.1", "article-6.1")


class Descriptor:
    def __init__(self, path: Path, flags: int) -> None:
        self.fd = os.open(path, flags)

    def write(self, data: bytes, offset: int) -> int:
        try:
            return os.pwrite(self.fd, data, offset)
        finally:
            os.close(self.fd)


class Mount:
    """What a Tree offers, by system calls."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, path: str) -> str:
        return (self.root / path[1:]).read_text()

    def open(self, path: str, flags: int) -> Descriptor:
        return Descriptor(self.root / path[1:], flags)


@pytest.fixture(params=RECORDINGS)
def steps(request):
    return recordings.steps(recordings.load(request.param))


@pytest.fixture
def mount(steps):
    with mounted("--from", str(steps[0]), "--clock", "manual") as root:
        yield Mount(root)


def test_the_mount_shows_the_text_of_the_loaded_machine(steps, mount):
    tree = machine.of(steps[0])
    paths = [path for path in machine.files(steps[0]) if not path.startswith("/proc/self/")]  # behind a link

    assert len(paths) > 100
    assert {path: machine.shown(mount, path) for path in paths} == {
        path: machine.shown(tree, path) for path in paths
    }


def test_the_writing_steps_end_in_the_recorded_numbers(steps, mount):
    agreement = Agreement()
    writes.replay(mount, steps, agreement)

    assert agreement.compared > 1000
    assert [str(d) for d in agreement.disagreements] == []
