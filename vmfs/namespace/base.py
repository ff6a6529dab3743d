"""Where the machine is mounted inside the namespace: on a directory that every host has.

Nothing is made on disk, so nothing can be left there, however a run ends.
"""

from __future__ import annotations

import os
from pathlib import Path

from vmfs.namespace import syscalls
from vmfs.namespace.spaces import NamespaceError

PLACES = ("/sys/fs/fuse/connections", "/mnt")
"""The first that is there is covered. The FUSE module makes the one that nobody needs."""

MACHINE = "machine"
HOST = "host"
KEPT = ("proc", "sys", "dev")


def make() -> str:
    """Mount an empty directory for the machine; returns its path. NamespaceError, OSError.

    Beside it `host/proc`, `host/sys` and `host/dev` stay uncovered for as long as the namespace lives: the
    kernel lets nobody mount a proc or sysfs who could see more there than in those already visible.
    """
    place = next((path for path in map(Path, PLACES) if path.is_dir()), None)
    if place is None:
        raise NamespaceError(f"no place to mount on: one of {', '.join(PLACES)} must be a directory")
    if (place / MACHINE).is_dir():  # a run inside a run
        place /= f"run-{os.getpid()}"
        place.mkdir()
    copies = {name: syscalls.copy_tree(f"/{name}") for name in KEPT}
    syscalls.mount("vmfs", str(place), "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, "mode=755,size=1m")
    for name, copy in copies.items():
        kept = place / HOST / name
        kept.mkdir(parents=True)
        syscalls.move_tree(copy, str(kept))
    (place / MACHINE).mkdir()
    return str(place / MACHINE)


def kept(machine: str, path: str) -> str:
    """The host's own `path`, of proc, sys or dev."""
    return f"{of(machine)}/{HOST}{path}"


def of(machine: str) -> str:
    """The directory that holds everything of vmfs."""
    return str(Path(machine).parent)
