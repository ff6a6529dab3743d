"""What is not memory management's own: cmdline, cpuinfo, filesystems, mounts, iomem."""

from __future__ import annotations

import re

from vmfs.capture.parse_swaps import unescape
from vmfs.capture.text import Text

_IOMEM = re.compile(r"( *)([0-9a-f]{1,16})-([0-9a-f]{1,16}) : (.*)")
_MOUNT_COLUMNS = 6


def parse_cpuinfo(text: Text) -> list[list[tuple[str, str]]]:
    """(key, value) pairs of each online CPU (arch/x86/kernel/cpu/proc.c: show_cpuinfo())."""
    cpus: list[list[tuple[str, str]]] = [[]]
    for number, line in text.numbered():
        if not line:
            cpus.append([])
            continue
        key, colon, value = line.partition(":")
        if not colon:
            raise text.error(number, f"expected 'key : value', found {line[:40]!r}")
        cpus[-1].append((key.rstrip("\t "), value.removeprefix(" ")))
    return [cpu for cpu in cpus if cpu]


def parse_filesystems(text: Text) -> list[tuple[bool, str]]:
    """(nodev, name) of each (fs/filesystems.c: filesystems_proc_show())."""
    rows: list[tuple[bool, str]] = []
    for number, line in text.numbered():
        flag, tab, name = line.partition("\t")
        if not tab or flag not in ("", "nodev") or not name:
            raise text.error(number, f"expected 'nodev<TAB>name', found {line[:40]!r}")
        rows.append((flag == "nodev", name))
    return rows


def parse_mounts(text: Text) -> list[tuple[str, ...]]:
    """The six columns of each mount (fs/proc_namespace.c: show_vfsmnt())."""
    rows: list[tuple[str, ...]] = []
    for number, line in text.numbered():
        columns = tuple(unescape(word) for word in line.split(" "))
        if len(columns) != _MOUNT_COLUMNS:
            raise text.error(number, f"{len(columns)} columns; mounts has {_MOUNT_COLUMNS}")
        rows.append(columns)
    return rows


def parse_iomem(text: Text) -> list[tuple[int, int, int, str]]:
    """(depth, first, last, name) of each resource (kernel/resource.c: r_show())."""
    rows: list[tuple[int, int, int, str]] = []
    for number, line in text.numbered():
        found = _IOMEM.fullmatch(line)
        if not found or len(found[1]) % 2:
            raise text.error(number, f"expected 'FIRST-LAST : NAME', found {line[:40]!r}")
        depth, first, last = len(found[1]) // 2, int(found[2], 16), int(found[3], 16)
        if last < first or depth > (rows[-1][0] + 1 if rows else 0):
            raise text.error(number, f"the resource {line.strip()[:40]!r} is empty or has no parent")
        rows.append((depth, first, last, found[4]))
    return rows
