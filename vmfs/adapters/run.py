"""What `vmfs run` shows beside the tree, to bind it over processes of the host.

`vmfs/status.PID` is the status of any process of the host, on the CPUs and nodes of the machine.
`vmfs/task.PID` is the task with that number, an empty directory as long as there is none.
`vmfs/keeper` takes control lines and leaves the answer of vmfs/ctl alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from errno import ESRCH
from pathlib import Path
from stat import S_IFDIR, S_IFREG
from typing import Any

from vmfs import control
from vmfs.adapters.fuse import Adapter
from vmfs.adapters.host_status import ANY_PROCESS, HostStatus
from vmfs.tree import Stat, Tree
from vmfs.tree.policy import error

TASK = re.compile(r"/vmfs/task\.([1-9]\d*)(/.*)?")

KEEPER = "/vmfs/keeper"

OnTasks = Callable[[Iterable[int]], None]


def boot_time() -> int:
    """Of the host, in seconds since the epoch."""
    return int(re.findall(r"^btime (\d+)$", Path("/proc/stat").read_text(), re.MULTILINE)[0])


class KeeperLines:
    """An open vmfs/keeper. OSError as of the lines."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def read(self, _size: int, _offset: int) -> bytes:
        return b""

    def write(self, data: bytes, _offset: int) -> int:
        for line in data.decode().splitlines():
            control.run(self._tree, line)
        return len(data)


class RunAdapter(Adapter):
    """`on_tasks` is told the numbers of all tasks when there are others than before."""

    def __init__(self, tree: Tree, root: str, ready: Callable[[], None], on_tasks: OnTasks | None) -> None:
        super().__init__(tree, root, ready)
        # with /proc/uptime, which stays the host's, it says when a process was started
        tree.machine.cpu_stat.btime = boot_time()
        self._on_tasks = on_tasks
        self._told: tuple[int, int] | None = None

    def __call__(self, operation: str, path: str | None, *args: Any) -> Any:
        try:
            return super().__call__(operation, path, *args)
        finally:
            if self._on_tasks:
                self._tell(self._on_tasks)

    def _tell(self, on_tasks: OnTasks) -> None:
        machine = self._tree.machine
        now = (id(machine), machine.topology)
        if now == self._told:
            return
        try:
            on_tasks(machine.tasks)
            self._told = now
        except BlockingIOError:
            return  # nobody has listened for long: at the next call

    def getattr(self, path: str, fh: int | None = None) -> dict[str, int]:
        if (status := HostStatus.at(self._tree, path)) is not None:
            return self._made(S_IFREG | 0o444, len(status.text()))
        if path == KEEPER:
            return self._made(S_IFREG | 0o200, 0)
        return self._made(S_IFDIR | 0o555, 0) if self._waits(path) else super().getattr(path, fh)

    def readdir(self, path: str, fh: int) -> Iterator[Any]:
        return iter((".", "..")) if self._waits(path) else super().readdir(path, fh)

    def open(self, path: str, flags: int) -> int:
        if path == KEEPER and self._caller().root:
            return self._keep(KeeperLines(self._tree))
        status = HostStatus.at(self._tree, path)
        return super().open(path, flags) if status is None else self._keep(status)

    def truncate(self, path: str, length: int, fh: int | None = None) -> None:
        if path != KEEPER:
            super().truncate(path, length, fh)

    def _made(self, mode: int, size: int) -> dict[str, int]:
        owner = self._tree.owner
        return self._attributes(Stat(mode, 1, owner.uid, owner.gid, size, 1024))

    def _waits(self, path: str) -> bool:
        """Whether this is where a task may once be."""
        found = TASK.fullmatch(path)
        return bool(found and not found[2] and int(found[1]) not in self._tree.machine.tasks)

    def _path(self, path: str) -> str:
        if HostStatus.at(self._tree, path):
            return ANY_PROCESS  # what else is asked of them has the answer of the machine's own
        found = TASK.fullmatch(path)
        if found is None:
            return super()._path(path)
        if int(found[1]) not in self._tree.machine.tasks:
            raise error(ESRCH)  # as of a process that has ended: psutil takes ENOENT for a fault
        return f"/proc/{found[1]}{found[2] or ''}"
