"""/proc/zoneinfo, as mm/vmstat.c: zoneinfo_show() writes it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from vmfs.capture.parse_lists import LARGEST_ID
from vmfs.capture.text import Text

_HEAD = re.compile(r"Node (\d{1,5}), zone +(\w{1,16})")
_PAGES = ("free", "boost", "min", "low", "high", "promo", "spanned", "present", "managed", "cma")
_TAIL = ("node_unreclaimable", "start_pfn", "reserved_highatomic", "free_highatomic", "all_unreclaimable")
_PAGESET = ("count", "high", "batch", "high_min", "high_max")


@dataclass(slots=True)
class ZoneText:
    """A zone's part of the file. `pages` holds what the file calls "pages": free ... cma."""

    nid: int
    name: str
    line: int
    node_stat: dict[str, int] = field(default_factory=dict)
    pages: dict[str, int] = field(default_factory=dict)
    protection: list[int] = field(default_factory=list)
    stat: dict[str, int] = field(default_factory=dict)
    pagesets: dict[int, dict[str, int]] = field(default_factory=dict)
    thresholds: dict[int, int] = field(default_factory=dict)
    tail: dict[str, int] = field(default_factory=dict)


class _Parser:
    # One pass. `section` takes the lines of six blanks, a name and a number; `known` are the names it
    # may have, () where any counter of any release may come.
    def __init__(self, text: Text) -> None:
        self.text = text
        self.zones: list[ZoneText] = []
        self.section: dict[str, int] = {}
        self.known: tuple[str, ...] = ()
        self.cpu = -1
        self.rules: tuple[tuple[str, Callable[[int, str], None]], ...] = (
            ("Node ", self.head),
            ("  per-node stats", self.node_stats),
            ("  pages ", self.pages),
            ("        protection: ", self.protection),
            ("      ", self.count),
            ("  pagesets", self.pagesets),
            ("    cpu: ", self.pageset),
            ("  vm stats threshold: ", self.threshold),
            ("  ", self.end),
        )

    def line(self, number: int, line: str) -> None:
        rule = next((rule for start, rule in self.rules if line.startswith(start)), self.head)
        if not self.zones:
            rule = self.head
        rule(number, line)

    def head(self, number: int, line: str) -> None:
        found = _HEAD.fullmatch(line)
        if not found:
            raise self.text.error(number, f"expected 'Node N, zone NAME', found {line[:40]!r}")
        self.zones.append(ZoneText(int(found[1]), found[2], number))
        self.section, self.known, self.cpu = {}, _PAGES, -1

    def node_stats(self, _number: int, _line: str) -> None:
        self.section, self.known = self.zones[-1].node_stat, ()

    def pages(self, number: int, line: str) -> None:
        self.section, self.known = self.zones[-1].pages, _PAGES
        self.count(number, line.removeprefix("  pages "))

    def protection(self, number: int, line: str) -> None:
        inner = line.strip().removeprefix("protection: ")
        if not (inner.startswith("(") and inner.endswith(")")):
            raise self.text.error(number, "protection is not '(N, N, ...)'")
        self.zones[-1].protection = [self.text.number(number, w) for w in inner[1:-1].split(", ")]
        self.section, self.known = self.zones[-1].stat, ()

    def count(self, number: int, line: str) -> None:
        # 4.18 prints one counter without a name.
        name, _, word = line.strip().rpartition(" ")
        name = name.rstrip().removesuffix(":")
        if " " in name or (self.known and name not in self.known):
            raise self.text.error(number, f"not a line of zoneinfo: {line[:40]!r}")
        if name in self.section:
            raise self.text.error(number, f"{name} is there twice")
        self.section[name] = self.text.number(number, word)

    def pagesets(self, _number: int, _line: str) -> None:
        self.section, self.known = {}, _PAGESET

    def pageset(self, number: int, line: str) -> None:
        self.cpu = self.text.number(number, line.removeprefix("    cpu: "))
        if self.cpu in self.zones[-1].pagesets or self.cpu >= LARGEST_ID:
            raise self.text.error(number, f"cpu {self.cpu} is there twice or beyond {LARGEST_ID - 1}")
        self.section = self.zones[-1].pagesets[self.cpu] = {}
        self.known = _PAGESET

    def threshold(self, number: int, line: str) -> None:
        word = line.removeprefix("  vm stats threshold: ")
        self.zones[-1].thresholds[self.cpu] = self.text.number(number, word)

    def end(self, number: int, line: str) -> None:
        name, _, word = line.strip().partition(":")
        if name not in _TAIL:
            raise self.text.error(number, f"not a line of zoneinfo: {line[:40]!r}")
        self.zones[-1].tail[name] = self.text.number(number, word.lstrip())


def parse_zoneinfo(text: Text) -> list[ZoneText]:
    """Every zone of every node, in the file's order."""
    parser = _Parser(text)
    for number, line in text.numbered():
        parser.line(number, line)
    last = len(text.lines)
    for zone in parser.zones:
        _complete(text, zone, last)
    _distinct(text, parser.zones)
    return parser.zones


def _complete(text: Text, zone: ZoneText, last: int) -> None:
    # A file cut between two lines ends inside a zone.
    where = f"node {zone.nid}, zone {zone.name}"
    missing = {"free", "min", "low", "high", "spanned", "present", "managed"} - zone.pages.keys()
    if missing or not zone.protection:
        raise text.error(last, f"{where} lacks {min(missing or {'protection'})}: the file is cut")
    if zone.pages["present"] and "start_pfn" not in zone.tail:
        raise text.error(last, f"{where} lacks start_pfn: the file is cut")
    for cpu, pageset in zone.pagesets.items():
        if not {"count", "high", "batch"} <= pageset.keys():
            raise text.error(zone.line, f"{where}, cpu {cpu} lacks count, high or batch")


def _distinct(text: Text, zones: list[ZoneText]) -> None:
    seen: set[tuple[int, str]] = set()
    for zone in zones:
        if (zone.nid, zone.name) in seen:
            raise text.error(zone.line, f"node {zone.nid}, zone {zone.name} is there twice")
        seen.add((zone.nid, zone.name))
