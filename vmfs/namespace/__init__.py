"""`vmfs run`: a command for which the simulated machine is the machine it runs on.

The daemon keeps the mounts it was born with; the command's are a copy of them, with the machine bound
over the host's files. So the daemon never reads its own.
"""

from __future__ import annotations

import glob
import os
import signal
from collections.abc import Callable, Sequence

from vmfs.namespace import base, keeper, spaces, syscalls
from vmfs.namespace.cover import Cover
from vmfs.namespace.spaces import NamespaceError
from vmfs.namespace.supervise import Child
from vmfs.namespace.targets import EXTRA_TARGETS, KERNEL_TARGETS

__all__ = ["NamespaceError", "run"]

ROOT_VARIABLE = "VMFS_ROOT"


def run(
    command: Sequence[str],
    start_daemon: Callable[[str, Callable[[], None]], int],
    *,
    only: Sequence[str] = (),
    hide: Sequence[str] = (),
    as_caller: bool = False,
    warn: Callable[[str], None] = lambda _: None,
) -> int:
    """The exit status of `command`. NamespaceError: it could not be run.

    `start_daemon(mountpoint, on_start)` mounts a machine and returns the daemon's pid once the mount
    answers; the daemon calls `on_start` before it does anything else. `only` are laid over instead of
    all there is; what `hide`'s patterns match is taken from the host.
    """
    caller = spaces.leave_the_hosts_mounts()
    machine = base.make()
    parent, files = os.getpid(), _open_files()

    def on_start() -> None:
        syscalls.die_with_parent(signal.SIGKILL, parent)
        for file in files:
            os.close(file)

    daemon = start_daemon(machine, on_start)
    spaces.unshare_mounts()
    cover = Cover(machine)
    cover.vanish(_not_there(cover, only or KERNEL_TARGETS, hide))
    cover.lay_over(only or KERNEL_TARGETS + EXTRA_TARGETS)
    cover.seal()
    if missing := [path for path in cover.missing if path not in EXTRA_TARGETS]:
        warn(f"the kernel of this host lacks {', '.join(missing)}, and nobody can add a name to /proc")
    keeper_pid, lifeline = keeper.start(cover)
    os.environ[ROOT_VARIABLE] = machine
    child = Child(command, lambda: spaces.become_caller_again(caller) if as_caller else None)
    status = child.wait()
    _end(daemon, keeper_pid, lifeline)
    return status


def _not_there(cover: Cover, targets: Sequence[str], hide: Sequence[str]) -> list[str]:
    """What the host has and the machine has not: for want of it, or since it is hidden."""
    hidden = {found for pattern in hide for found in glob.glob(pattern)} - set(targets)  # noqa: PTH207
    below = tuple(f"{target}/" for target in targets)
    return [t for t in (*targets, *hidden) if not cover.has(t) and not t.startswith(below)]


def _open_files() -> list[int]:
    """What we were given beside standard input, output and error: it is for the command alone."""
    with os.scandir("/proc/self/fd") as entries:
        found = [int(entry.name) for entry in entries]
    return [file for file in found if file > 2 and _is_open(file)]


def _is_open(file: int) -> bool:
    try:
        os.fstat(file)
    except OSError:
        return False
    return True


def _end(daemon: int, keeper_pid: int, lifeline: int) -> None:
    os.write(lifeline, keeper.ENDED)
    os.close(lifeline)
    os.waitpid(keeper_pid, 0)
    os.kill(daemon, signal.SIGKILL)  # the machine is memory: there is nothing to be saved
    os.waitpid(daemon, 0)
