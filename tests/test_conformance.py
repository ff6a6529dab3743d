"""What agrees with the recorded kernels may grow and never shrink: tests/recorded/floor.toml."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests import recordings
from tests.conformance import AREAS, movement, write_table
from tests.conformance.agreement import Agreement
from tests.conformance.floor import FLOOR, Floor

CELLS = [(name, area) for name in FLOOR for area in FLOOR[name]]
FOR_ROOT = "system calls"
"""Who is not root makes the calls of the ordinary user only, which must agree as well."""


@pytest.mark.parametrize(("name", "area"), CELLS, ids=[f"{name} {area}" for name, area in CELLS])
def test_agreement_does_not_fall(name: str, area: str) -> None:
    agreement = AREAS[area](recordings.load(name))

    why = "\n".join(map(str, agreement.disagreements[:20]))
    if area == FOR_ROOT and os.getuid() != 0:
        assert agreement.compared, "no call was made"
        assert not agreement.disagreements, why
    else:
        assert FLOOR[name][area].holds(agreement), f"{agreement.agreed}/{agreement.compared}\n{why}"


def test_every_recording_has_a_floor_in_every_area() -> None:
    for name in recordings.names():
        has_table = bool(recordings.writes_table(recordings.load(name)))
        assert set(FLOOR[name]) == set(AREAS) - ({"write table"} if not has_table else set()), name
    assert sorted(FLOOR) == recordings.names()


def test_a_floor_holds_neither_more_disagreement_nor_less_compared() -> None:
    def agreement(*agree: bool) -> Agreement:
        found = Agreement()
        for each in agree:
            found.judge("file", 1, "kernel", "ours", agree=each)
        return found

    floor = Floor(2, 3)
    assert floor.holds(agreement(True, True, False))
    assert floor.holds(agreement(True, True, True, False))
    assert not floor.holds(agreement(True, True, True, False, False))
    assert not floor.holds(agreement(True, False))


def conformance(*arguments: str | Path, unpacks_in: Path | None = None) -> tuple[int, str]:
    """Exit code, and what was said on standard error."""
    command = [sys.executable, "-m", "tests.conformance", "--area", "boot lines", *map(str, arguments)]
    env = os.environ | ({"TMPDIR": str(unpacks_in)} if unpacks_in else {})
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=env)
    return done.returncode, done.stderr


def damaged(tmp_path: Path, how: str) -> Path:
    archive = tmp_path / "broken.tar.xz"
    whole = (recordings.RECORDED / "small-6.1.tar.xz").read_bytes()
    archive.write_bytes({"cut": whole[: len(whole) // 2], "junk": b"x" * 1000, "empty": b""}[how])
    return archive


@pytest.mark.parametrize("how", ["cut", "junk", "empty"])
def test_a_damaged_archive_is_one_line_and_leaves_nothing(tmp_path: Path, how: str) -> None:
    (temporary := tmp_path / "tmp").mkdir()
    code, said = conformance(damaged(tmp_path, how), unpacks_in=temporary)
    assert code == 1
    assert re.fullmatch(r"Error: \S+broken\.tar\.xz: no archive of a recording: .+; accepted: .+\n", said), (
        said
    )
    (cache,) = temporary.iterdir()
    assert not list(cache.iterdir())


@pytest.mark.parametrize(
    ("name", "kind", "why"),
    [
        ("00-boot/../../x", tarfile.REGTYPE, "is outside of it"),
        ("/tmp/x", tarfile.REGTYPE, "is outside of it"),
        ("link", tarfile.SYMTYPE, "is neither a file nor a folder"),
    ],
)
def test_an_archive_makes_files_in_its_own_folder_only(
    tmp_path: Path, name: str, kind: bytes, why: str
) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, "/etc/passwd"
    with tarfile.open(tmp_path / "evil.tar.xz", "w:xz") as tar:
        tar.addfile(member)
    with pytest.raises(recordings.NoRecordingError, match=f"no archive of a recording: {name} {why}"):
        recordings.load(tmp_path / "evil.tar.xz")


def test_what_is_no_recording_is_refused_before_any_is_replayed(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name, why in (
        ("nosuch", "no such recording; tests/recorded has "),
        (tmp_path / "empty", "no recording: it has no 00-boot; accepted: "),
    ):
        code, said = conformance("small-6.1", name, "--why")
        assert (code, said.startswith(f"Error: {name}: {why}"), said.count("\n")) == (1, True, 1), said


def test_a_recording_that_lacks_a_file_of_memory_is_refused(tmp_path: Path) -> None:
    part = Path(shutil.copytree(recordings.load("small-6.1"), tmp_path / "part"))
    (part / "00-boot/proc/meminfo").unlink()
    assert conformance(part) == (
        1,
        f"Error: {part}: 00-boot lacks proc/meminfo; accepted: what scripts/record writes\n",
    )


def moved(*pages: int) -> Agreement:
    """What kernels, and last we, make of a counter in a step: so many pages of 10,000."""
    found = Agreement()
    pairs = [
        ({"MemTotal": 10_000, "Mapped": 500}, {"MemTotal": 10_000, "Mapped": 500 + each}) for each in pages
    ]
    movement.directions("33-anon_swap", pairs[:-1], pairs[-1], found)
    return found


@pytest.mark.parametrize(
    ("pages", "agreed", "again"),
    [
        ((200, 150), 1, 0),
        ((200, 0), 0, 0),
        ((200, -150), 0, 0),
        ((200, 50, 0), 0, 1),  # made again, the kernel did not move it either
        ((200, -300, -150), 0, 1),
        ((200, 300, 0), 0, 0),
        ((200, 50, -150), 0, 0),
        ((50, 300, 150), 0, 0),  # not compared
    ],
)
def test_a_direction_that_agrees_with_another_recording_is_told_apart(
    pages: tuple[int, ...], agreed: int, again: int
) -> None:
    found = moved(*pages)
    assert (found.agreed, found.again, found.compared) == (agreed, again, int(pages[0] > 100))


@pytest.mark.parametrize(
    ("there", "after", "between"),
    [
        (("407\n", "425\n"), "409\n", True),
        (("407\n", "425\n"), "426\n", False),
        (("407\n", "407\n"), "409\n", False),
        (("407\n",), "407\n", True),
        (("407\n", "425\n"), None, False),
        (("always\n", "425\n"), "409\n", False),
    ],
)
def test_a_value_is_between_what_kernels_left(
    there: tuple[str, ...], after: str | None, between: bool
) -> None:
    write = recordings.Write("/proc/sys/vm/nr_hugepages", b"1000", "", 4, "")
    rows = [recordings.WriteRow(write, "0\n", text, line) for line, text in enumerate(there)]
    assert write_table._is_between(after, rows) is between


def test_what_was_recorded_again_is_the_machine_itself() -> None:
    archives = sorted((recordings.RECORDED / "again").glob("*.tar.xz"))
    assert archives
    for archive in archives:
        name = archive.name.rsplit("-", 1)[0]
        boots = [recordings.steps(recordings.load(each))[0] for each in (name, archive)]
        for boot in boots:
            assert f"Linux version {name.rsplit('-', 1)[1]}." in (boot / "proc/version").read_text()
        first, second = ((boot / "proc/zoneinfo").read_text() for boot in boots)
        assert hardware(first) == hardware(second), archive.name


def hardware(zoneinfo: str) -> list[str]:
    """Zones, their MiB, which a firmware makes some KiB more or less of, and CPUs."""
    lines = re.findall(r"^Node.*|spanned +\d+|cpu: \d+", zoneinfo, re.MULTILINE)
    return [f"{int(line.split()[1]) >> 8} MiB" if line.startswith("spanned") else line for line in lines]
