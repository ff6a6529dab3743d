"""/proc/pagetypeinfo, as mm/vmstat.c: pagetypeinfo_show() writes it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from vmfs.capture.parse_buddyinfo import ZoneKey
from vmfs.capture.text import Text
from vmfs.mm.mmzone import MAX_PAGE_ORDER, NR_PAGE_ORDERS, MigrateType
from vmfs.views.proc.pagetypeinfo import NAMES

TYPES = {name: migratetype for migratetype, name in NAMES.items()}
_FREE = re.compile(r"Node +(\d{1,5}), zone +(\w{1,16}), type +(\w+) +([>\d ]+)")
_BLOCKS = re.compile(r"Node +(\d{1,5}), zone +(\w{1,16}) +([\d ]+)")
_TITLES = ("Free pages count per migrate type at order", "Pages per block: ")


@dataclass(slots=True)
class PageTypes:
    """`free[zone][type][order]` blocks, `blocks[zone][type]` pageblocks.

    A list of 100000 blocks or more is printed as ">100000" and kept as 100000: the least it can hold.
    """

    pageblock_order: int = -1
    free: dict[ZoneKey, dict[MigrateType, list[int]]] = field(default_factory=dict)
    blocks: dict[ZoneKey, dict[MigrateType, int]] = field(default_factory=dict)


def parse_pagetypeinfo(text: Text) -> PageTypes:
    """What the file says of every populated zone."""
    result = PageTypes()
    columns: tuple[MigrateType, ...] = ()
    mixed = False
    for number, line in text.numbered():
        if found := _FREE.fullmatch(line):
            _free(text, number, found, result)
        elif line.startswith("Number of "):
            # With page_owner a second table, of mixed blocks, follows the first.
            mixed = line.startswith("Number of mixed blocks")
            columns = () if mixed else _columns(text, number, line)
        elif found := _BLOCKS.fullmatch(line):
            if not mixed:
                _blocks(text, number, found, columns, result)
        elif line.startswith("Page block order: "):
            _order(text, number, line, result)
        elif line and not line.startswith(_TITLES):
            raise text.error(number, f"not a line of pagetypeinfo: {line[:40]!r}")
    _complete(text, result)
    return result


def _order(text: Text, number: int, line: str, result: PageTypes) -> None:
    order = text.number(number, line.removeprefix("Page block order: ").strip())
    if order > MAX_PAGE_ORDER:
        raise text.error(number, f"page block order {order}; up to {MAX_PAGE_ORDER} is supported")
    if result.pageblock_order not in (-1, order):
        raise text.error(number, f"page block order {order}, before {result.pageblock_order}")
    result.pageblock_order = order


def _free(text: Text, number: int, found: re.Match[str], result: PageTypes) -> None:
    key, kind = (int(found[1]), found[2]), found[3]
    if kind not in TYPES:
        raise text.error(number, f"unknown migrate type {kind!r}; known: {', '.join(TYPES)}")
    lists = result.free.setdefault(key, {})
    if TYPES[kind] in lists:
        raise text.error(number, f"node {key[0]}, zone {key[1]}, type {kind} is there twice")
    words = found[4].split()
    if len(words) != NR_PAGE_ORDERS:
        raise text.error(number, f"{len(words)} orders; {NR_PAGE_ORDERS} are supported")
    lists[TYPES[kind]] = [text.number(number, word.removeprefix(">")) for word in words]


def _columns(text: Text, number: int, line: str) -> tuple[MigrateType, ...]:
    names = line.removeprefix("Number of blocks type").split()
    if not names or not set(names) <= TYPES.keys():
        raise text.error(number, f"expected migrate types ({', '.join(TYPES)}), found {line[:60]!r}")
    return tuple(TYPES[name] for name in names)


def _blocks(
    text: Text, number: int, found: re.Match[str], columns: tuple[MigrateType, ...], result: PageTypes
) -> None:
    key, counts = (int(found[1]), found[2]), text.numbers(number, found[3])
    if len(counts) != len(columns):
        raise text.error(number, f"{len(counts)} columns under {len(columns)} migrate types")
    if key in result.blocks:
        raise text.error(number, f"node {key[0]}, zone {key[1]} is there twice")
    result.blocks[key] = dict(zip(columns, counts, strict=True))


def _complete(text: Text, result: PageTypes) -> None:
    if result.pageblock_order < 0:
        raise text.error(len(text.lines), "lacks the page block order: the file is cut")
    if result.free.keys() != result.blocks.keys():
        node, zone = min(result.free.keys() ^ result.blocks.keys())
        raise text.error(len(text.lines), f"node {node}, zone {zone}: one of its tables is cut off")
