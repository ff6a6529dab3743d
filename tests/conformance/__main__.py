"""The command line of scripts/conformance."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

import click

from tests import recordings
from tests.conformance import AREAS, floor
from tests.conformance.agreement import Agreement
from vmfs.capture import CaptureError


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", metavar="[RECORDING]...", nargs=-1)
@click.option("--area", "areas", multiple=True, type=click.Choice(list(AREAS)), help="Only these columns.")
@click.option("--why", is_flag=True, help="List each disagreement: file, line, the kernel's text, ours.")
@click.option("--raise-floor", is_flag=True, help="Keep what agrees now in tests/recorded/floor.toml.")
def main(names: tuple[str, ...], areas: tuple[str, ...], why: bool, raise_floor: bool) -> None:
    """Replay recordings of real kernels against the working tree.

    A RECORDING is a name from tests/recorded, a folder or an archive; without one, all that are kept
    there. Each cell of the table is agreed/compared. Of what does not agree, it is
    told how much does with the machine recorded again (tests/recorded/again).
    """
    columns = areas or tuple(AREAS)
    found = {name: _load(name) for name in names or recordings.names()}
    print(_row("", columns))
    faults: list[str] = []
    again: list[str] = []
    failed = False
    for name, recording in found.items():
        results = {area: _compare(recording, area) for area in columns}
        print(_row(Path(name).name.removesuffix(".tar.xz"), [_cell(r) for r in results.values()]), flush=True)
        faults += [f"{name} {area}: {d}" for area, r in results.items() for d in _why(r)]
        again += _again(name, results)
        failed |= any(isinstance(r, str) for r in results.values())
        if raise_floor and name in recordings.names():
            floor.raise_to({name: {area: r for area, r in results.items() if isinstance(r, Agreement)}})
    if again:
        print("Of what does not agree, so many do with the machine recorded again:", ", ".join(again))
    if why:
        print(*faults, sep="\n")
    if failed:
        raise click.ClickException("not all could be compared" + ("" if why else "; --why tells the reason"))


def _load(name: str) -> Path:
    try:
        return recordings.load(name)
    except recordings.NoRecordingError as error:
        raise click.ClickException(str(error)) from None


def _compare(recording: Path, area: str) -> Agreement | str:
    """A fault of ours in one cell does not hide the others."""
    try:
        return AREAS[area](recording)
    except CaptureError as error:
        return str(error)
    except Exception:  # noqa: BLE001
        return traceback.format_exc()


def _why(result: Agreement | str) -> list[str]:
    return [result] if isinstance(result, str) else [str(d) for d in result.disagreements]


def _again(name: str, results: dict[str, Agreement | str]) -> list[str]:
    counts = {area: r.again for area, r in results.items() if isinstance(r, Agreement)}
    return [f"{name} {area} {count}" for area, count in counts.items() if count]


def _cell(result: Agreement | str) -> str:
    if isinstance(result, str):
        return "failed"
    return f"{result.agreed}/{result.compared}" if result.compared else "-"


def _row(head: str, cells: tuple[str, ...] | list[str]) -> str:
    return f"{head:<20}" + "".join(f"{cell:>16}" for cell in cells)


if __name__ == "__main__":
    sys.exit(main(prog_name="scripts/conformance"))
