"""The status of a process of the host, on the CPUs and nodes of the machine.

`vmfs run` binds it over /proc/PID/status of what it runs. libnuma and hwloc learn there which CPUs and
nodes they may use; the other lines are the process's own, as they are now.
"""

from __future__ import annotations

import re
from errno import EINVAL, ENOENT, ESRCH
from pathlib import Path

from vmfs.tree import Tree
from vmfs.tree.policy import error

NAME = re.compile(r"/vmfs/status\.([1-9]\d*)")
OF_THE_MACHINE = re.compile(rb"^((?:Cpus|Mems)_allowed(?:_list)?):.*\n", re.MULTILINE)
ANY_PROCESS = "/proc/1/status"


class HostStatus:
    """An open file: fresh at every read from the start, as `Handle`."""

    def __init__(self, tree: Tree, pid: int) -> None:
        self._tree = tree
        self._pid = pid
        self._text = b""

    @classmethod
    def at(cls, tree: Tree, path: str) -> HostStatus | None:
        found = NAME.fullmatch(path)
        return cls(tree, int(found[1])) if found else None

    def read(self, size: int, offset: int) -> bytes:
        if offset == 0:
            self._text = self.text()
        return self._text[offset : offset + size]

    def write(self, _data: bytes, _offset: int) -> int:
        raise error(EINVAL)

    def text(self) -> bytes:
        """ENOENT when there is no such process; the lines of a machine that lacks them stay."""
        try:
            host = Path(f"/proc/{self._pid}/status").read_bytes()
        except OSError as fault:
            raise error(ENOENT if fault.errno == ESRCH else fault.errno or ENOENT) from None
        ours = {m[1]: m[0] for m in OF_THE_MACHINE.finditer(self._tree.read_bytes(ANY_PROCESS))}
        return OF_THE_MACHINE.sub(lambda found: ours.get(found[1], found[0]), host)
