"""/proc/slabinfo 2.1, as mm/slab_common.c: cache_show() writes it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vmfs.capture.text import Text

_VERSION = "slabinfo - version: 2.1"
_LINE = re.compile(
    r"(\S+) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+)"
    r" : tunables +(\d+) +(\d+) +(\d+)"
    r" : slabdata +(\d+) +(\d+) +(\d+)"
)
_LARGEST_ORDER = 10


@dataclass(frozen=True, slots=True)
class CacheLine:
    """One cache; `size` in bytes, slabs of `1 << order` pages."""

    name: str
    active_objs: int
    num_objs: int
    size: int
    objects_per_slab: int
    order: int
    num_slabs: int
    line: int


def parse_slabinfo(text: Text) -> list[CacheLine]:
    """The caches in the file's order: the newest first."""
    if not text.lines or text.lines[0] != _VERSION:
        raise text.error(1, f"expected {_VERSION!r}")
    caches = [_cache(text, number, line) for number, line in text.numbered(2) if line[:1] != "#"]
    names: set[str] = set()
    for cache in caches:
        if cache.name in names:
            raise text.error(cache.line, f"{cache.name} is there twice")
        names.add(cache.name)
    return caches


def _cache(text: Text, number: int, line: str) -> CacheLine:
    found = _LINE.fullmatch(line)
    if not found:
        raise text.error(number, f"not a line of slabinfo: {line[:40]!r}")
    name = found[1]
    active, total, size, objects, pages, *_tunables, _active_slabs, slabs, _shared = (
        text.number(number, word) for word in found.groups()[1:]
    )
    order = pages.bit_length() - 1
    if pages != 1 << max(order, 0) or order > _LARGEST_ORDER:
        raise text.error(number, f"{name}: {pages} pages a slab is no power of two up to 1024")
    if not size or not objects or size * objects > pages << 12:
        raise text.error(number, f"{name}: {objects} objects of {size} bytes do not fit {pages} pages")
    if active > total or total > slabs * objects:
        raise text.error(number, f"{name}: {active} of {total} objects in {slabs} slabs of {objects}")
    return CacheLine(name, active, total, size, objects, order, slabs, number)
