"""The control group of the command may use all CPUs and nodes of the machine: hwloc looks there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vmfs.namespace import base, syscalls
from vmfs.namespace.cover import Cover

CPUS = "/sys/devices/system/cpu/online"
MEMS = "/sys/devices/system/node/has_memory"

FILES = {
    "cpuset.cpus": CPUS,
    "cpuset.cpus.effective": CPUS,
    "cpuset.effective_cpus": CPUS,
    "cpuset.mems": MEMS,
    "cpuset.mems.effective": MEMS,
    "cpuset.effective_mems": MEMS,
}
"""A file of a control group, of cgroup v1 or v2, and the machine's file with the same text."""


def lay_over(cover: Cover) -> None:
    kept = base.of(cover.machine)
    for folder in (found for found in folders() if not found.is_relative_to(kept)):
        for name, ours in FILES.items():
            if cover.has(ours) and (folder / name).exists():
                syscalls.bind(cover.machine + ours, str(folder / name))


def folders() -> Iterator[Path]:
    """The control group that this process's cpuset is of, and those above it."""
    groups = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    for _, controllers, path in groups:
        kind = "cgroup" if controllers else "cgroup2"
        if "cpuset" in controllers.split(",") or not controllers:
            yield from _mounted(kind, Path(path))


def _mounted(kind: str, group: Path) -> Iterator[Path]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, source = line.partition(" - ")
        root, point = (Path(field) for field in fields.split(" ")[3:5])
        found, _, options = source.split(" ", 2)
        if found != kind or (kind == "cgroup" and "cpuset" not in options.split(",")):
            continue
        if group.is_relative_to(root):
            below = group.relative_to(root)
            yield from (point / folder for folder in (below, *below.parents))
