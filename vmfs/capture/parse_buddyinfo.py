"""/proc/buddyinfo, as mm/vmstat.c: frag_show_print() writes it."""

from __future__ import annotations

import re

from vmfs.capture.text import Text
from vmfs.mm.mmzone import NR_PAGE_ORDERS

ZoneKey = tuple[int, str]
_LINE = re.compile(r"Node +(\d{1,5}), zone +(\w{1,16}) +([\d ]+)")


def parse_buddyinfo(text: Text) -> dict[ZoneKey, list[int]]:
    """(node, zone name) -> free blocks of each order."""
    zones: dict[ZoneKey, list[int]] = {}
    for number, line in text.numbered():
        found = _LINE.fullmatch(line)
        if not found:
            raise text.error(number, f"expected 'Node N, zone NAME' and counts, found {line[:40]!r}")
        counts = text.numbers(number, found[3])
        if len(counts) != NR_PAGE_ORDERS:
            raise text.error(number, f"{len(counts)} orders; {NR_PAGE_ORDERS} are supported")
        key = (int(found[1]), found[2])
        if key in zones:
            raise text.error(number, f"node {key[0]}, zone {key[1]} is there twice")
        zones[key] = counts
    return zones
