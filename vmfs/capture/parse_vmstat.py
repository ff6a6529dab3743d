"""/proc/vmstat, node*/vmstat, node*/numastat: lines of a name and a number."""

from __future__ import annotations

from vmfs.capture.text import Text
from vmfs.views.sys import node

NUMASTAT = {name: item.text for name, item in node.NUMASTAT}
"""The names of numastat, and those of vmstat for the same counts."""


def parse_vmstat(text: Text) -> dict[str, int]:
    """Name -> count. A name printed twice keeps the first: 5.10 and later add a constant nr_unstable."""
    counts: dict[str, int] = {}
    for number, line in text.numbered():
        name, blank, word = line.rpartition(" ")
        if not blank or " " in name:
            raise text.error(number, f"expected a name and a number, found {line[:40]!r}")
        counts.setdefault(name, text.number(number, word))
    return counts


def parse_numastat(text: Text) -> dict[str, int]:
    """The same counts under vmstat's names."""
    counts = parse_vmstat(text)
    if missing := NUMASTAT.keys() - counts.keys():
        raise text.error(len(text.lines), f"lacks {min(missing)}: the file is cut")
    return {NUMASTAT[name]: count for name, count in counts.items() if name in NUMASTAT}
