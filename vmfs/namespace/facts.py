"""What the files say where a process lives, so that its system calls agree with them.

That is the machine; in a run inside a run it is the inner one, and with --only what was left is the host's.
"""

from __future__ import annotations

from pathlib import Path

KB = 1024


class Facts:
    """OSError where there is no such file, or its daemon is gone."""

    def __init__(self, pid: int) -> None:
        self._root = Path(f"/proc/{pid}/root")

    def meminfo_bytes(self) -> dict[str, int]:
        lines = (line.split() for line in self._text("proc/meminfo").splitlines())
        return {name.rstrip(":"): int(value) * KB for name, value, *unit in lines if unit}

    def loadavg(self) -> tuple[list[float], int]:
        """The three averages, and the number of tasks."""
        *averages, tasks, _last = self._text("proc/loadavg").split()
        return [float(average) for average in averages], int(tasks.partition("/")[2])

    def online_cpus(self) -> set[int]:
        return ids(self._text("sys/devices/system/cpu/online"))

    def nr_cpu_ids(self) -> int:
        return max(ids(self._text("sys/devices/system/cpu/possible"))) + 1

    def has_numa(self) -> bool:
        return (self._root / "sys/devices/system/node").is_dir()

    def memory_nodes(self) -> set[int]:
        return ids(self._text("sys/devices/system/node/has_memory"))

    def nr_node_ids(self) -> int:
        return max(ids(self._text("sys/devices/system/node/possible"))) + 1

    def _text(self, path: str) -> str:
        return (self._root / path).read_text()


def ids(text: str) -> set[int]:
    """The numbers of a list such as "0-3,8"."""
    ranges = (part.partition("-") for part in text.strip().split(",") if part)
    return {number for first, _, last in ranges for number in range(int(first), int(last or first) + 1)}
