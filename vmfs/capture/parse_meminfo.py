"""/proc/meminfo and node*/meminfo (fs/proc/meminfo.c, drivers/base/node.c)."""

from __future__ import annotations

import re

from vmfs.capture.text import Text

_LINE = re.compile(r"([A-Za-z0-9_()]+): +(\d+)( kB)?")


def parse_meminfo(text: Text, nid: int | None = None) -> dict[str, int]:
    """Label -> number: kB, but huge pages for HugePages_*. `nid`: a node's file, "Node N" before each."""
    prefix = "" if nid is None else f"Node {nid} "
    fields: dict[str, int] = {}
    for number, line in text.numbered():
        found = _LINE.fullmatch(line.removeprefix(prefix))
        if not found or not line.startswith(prefix):
            raise text.error(number, f"expected '{prefix}LABEL: NUMBER kB', found {line[:40]!r}")
        if bool(found[3]) is found[1].startswith("HugePages_"):
            raise text.error(number, f"the unit of {found[1]} is wrong")
        if found[1] in fields:
            raise text.error(number, f"{found[1]} is there twice")
        fields[found[1]] = text.number(number, found[2])
    if "MemTotal" not in fields or "MemFree" not in fields:
        raise text.error(0, "lacks MemTotal or MemFree")
    return fields
