"""The processes of a run: whoever has the mounts of the command, or a copy of them."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path


class Inside:
    """Those that have the machine mounted, except `apart`: vmfs itself.

    `outside` is the host's mount namespace: whoever is in it is not looked at.
    """

    def __init__(self, machine: str, outside: str, apart: set[int]) -> None:
        device = Path(machine).parent.stat().st_dev
        self._mark = f" {os.major(device)}:{os.minor(device)} "
        self._outside = outside
        self._apart = apart

    def processes(self) -> list[int]:
        names = (path.name for path in Path("/proc").iterdir())
        return [pid for pid in map(int, filter(str.isdecimal, names)) if self._has(pid)]

    def signal(self, number: signal.Signals) -> bool:
        """Send it to all; whether there was anybody."""
        found = self.processes()
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
        return bool(found)

    def _has(self, pid: int) -> bool:
        try:
            if pid in self._apart or namespace_of(str(pid)) == self._outside:
                return False
            return self._mark in Path(f"/proc/{pid}/mountinfo").read_text("utf-8", "replace")
        except OSError:  # ended, ending, or somebody else's
            return False


def namespace_of(process: str) -> str:
    """A name for the mounts that a process has. OSError."""
    return str(Path(f"/proc/{process}/ns/mnt").readlink())
