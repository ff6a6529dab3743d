"""A capture becomes a machine: counts into a Snapshot, then the captured settings put back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vmfs import views
from vmfs.capture.context import Capture
from vmfs.capture.read_snapshot import read_snapshot
from vmfs.capture.source import open_capture
from vmfs.capture.text import CaptureError
from vmfs.mm.layout import LayoutError
from vmfs.mm.machine import Machine
from vmfs.views.entry import File

_SYSCTLS = "proc/sys/vm"


def load(path: str | Path, kernel: str | None = None, seed: int = 0) -> tuple[Machine, list[str]]:
    """The machine of a capture, and a line for each thing that was missing or left out.

    `kernel`: a release to run it as, instead of the captured one. Raises CaptureError.
    """
    capture = Capture(open_capture(path))
    capture.find_overlays()
    snapshot = read_snapshot(capture, kernel, seed)
    try:
        machine = Machine.from_snapshot(snapshot)
    except LayoutError as error:
        raise CaptureError("proc/zoneinfo", 0, str(error)) from None
    _put_back_settings(capture, machine)
    return machine, capture.warnings


def _put_back_settings(capture: Capture, machine: Machine) -> None:
    # Every file that holds a stored value gets the captured one, whatever a write would say to it.
    for path, file, subject in _stored(machine):
        text = capture.text(path)
        if text is None or file.load is None:
            continue
        try:
            file.load(subject, "\n".join((*text.lines, "")))
        except (ValueError, LookupError, OSError) as error:
            raise text.error(1, f"not a value of this file: {error}") from None
    # Another release may have another number of zones.
    ratios, zones = machine.sysctl.lowmem_reserve_ratio, len(machine.zone_names)
    machine.sysctl.lowmem_reserve_ratio = (ratios + [0] * zones)[:zones]
    if not any(capture.source.paths(_SYSCTLS)):
        capture.warn(_SYSCTLS, "missing; the defaults of the release are used")


def _stored(machine: Machine) -> Iterator[tuple[str, File[Any], Any]]:
    for directory in views.dirs():
        if not machine.kernel.has(directory.needs):
            continue
        files = [
            f for f in directory.entries if isinstance(f, File) and f.load and machine.kernel.has(f.needs)
        ]
        for names, subject in directory.each(machine) if files or directory.files else ():
            folder = directory.path.format(*names).lstrip("/")
            yield from ((f"{folder}/{file.name}", file, subject) for file in files)
            for file, its_own in directory.files(subject) if directory.files else ():
                yield f"{folder}/{file.name}", file, its_own
