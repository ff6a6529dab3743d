"""`vmfs tlb`: the same numbers as the file, of a mount and of a description."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

from tests.mounting import mounted, vmfs
from vmfs import cli


def output(*arguments: str) -> str:
    done = CliRunner().invoke(cli.vmfs, ["tlb", *arguments], env={"VMFS_ROOT": ""})
    assert done.exit_code == 0, done.output
    return done.output


def test_it_shows_the_sums_of_the_textbook() -> None:
    text = output("--machine", "tiny")

    assert "256 GiB in pages of one size" in text
    assert re.search(r"^ +4K +67,108,864 +512 MiB +1 GiB$", text, re.MULTILINE)
    assert re.search(r"^ +2M +131,072 +1 MiB +2 MiB$", text, re.MULTILINE)
    assert re.search(r"^ +4K +268,435,456 +2 GiB +4 GiB$", output("--memory", "1T"), re.MULTILINE)


def test_a_machine_without_tasks_says_so() -> None:
    assert "No task has memory." in output("--machine", "tiny")


def test_it_reads_a_mount() -> None:
    with mounted("--machine", "tiny", "--clock", "manual") as point:
        vmfs("ctl", "--at", str(point), "start db anon=40M")
        text = output("--at", str(point))

    assert re.search(r"^ +\d+ db +4K +10,240 +80 KiB .* 80.00% ", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--memory", "much"), "'much' is no size"),
        (("--at", "/tmp", "--machine", "tiny"), "a mount has its machine"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], words: str) -> None:
    done = CliRunner().invoke(cli.vmfs, ["tlb", *arguments])

    assert done.exit_code == 2
    assert words in done.output


def test_no_mount() -> None:
    done = CliRunner().invoke(cli.vmfs, ["tlb", "--at", "/tmp"])

    assert done.exit_code == 1
    assert "/tmp is no mount of vmfs" in str(done.exception)
