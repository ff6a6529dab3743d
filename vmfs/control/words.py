"""What the words of a control line mean: from text to a value, or ValueError with what is accepted."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vmfs.mm.machine import Machine
from vmfs.mm.mmzone import PAGE_SHIFT

UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}
MOST_PAGES = 1 << 51  # what 63 bits of bytes hold

Parse = Callable[[Machine, str], Any]


def pages(machine: Machine, text: str) -> int:
    """A size, in whole pages: what does not fill the last one takes it all the same."""
    return math.ceil(rate(machine, text))


def rate(machine: Machine, text: str) -> float:
    """A size in pages, not rounded: what comes in a second."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT%]?)", text.upper())
    if found is None:
        raise ValueError("a size is a number of bytes, with K, M, G or T, or a share of MemTotal with %")
    number, unit = float(found[1]), found[2]
    share = (
        number / 100 * machine.totalram_pages if unit == "%" else number * 2.0 ** (UNITS[unit] - PAGE_SHIFT)
    )
    if share > MOST_PAGES:
        raise ValueError("no machine is as large")
    return share


def one_of(words: tuple[str, ...]) -> Parse:
    def parse(_machine: Machine, text: str) -> str:
        if text not in words:
            raise ValueError(f"one of {', '.join(words)} is meant")
        return text

    return parse


def integer(first: int, last: int) -> Parse:
    def parse(_machine: Machine, text: str) -> int:
        if not re.fullmatch(r"-?\d{1,19}", text) or not first <= int(text) <= last:
            raise ValueError(f"a whole number from {first} to {last} is meant")
        return int(text)

    return parse


def decimal(last: float, what: str) -> Parse:
    def parse(_machine: Machine, text: str) -> float:
        if not re.fullmatch(r"\d+(\.\d*)?|\.\d+", text) or float(text) > last:
            raise ValueError(what)
        return float(text)

    return parse


def node(machine: Machine, text: str) -> int:
    there = [n.nid for n in machine.nodes]
    if not text.isdecimal() or int(text) not in there:
        raise ValueError(f"the nodes are {', '.join(map(str, there))}")
    return int(text)


def zone(machine: Machine, text: str) -> str:
    there = [
        name for name in machine.zone_names if any(z.populated and z.name == name for _, z in machine.zones())
    ]
    if text not in there:
        raise ValueError(f"the zones are {', '.join(there)}")
    return text


def path(_machine: Machine, text: str) -> Path:
    if not Path(text).is_absolute():
        raise ValueError("the daemon has no working directory: give a path that starts with /")
    return Path(text)


def numbers(_machine: Machine, text: str) -> list[int]:
    if not re.fullmatch(r"\d{1,9}(,\d{1,9})*", text):
        raise ValueError("numbers with commas between them are meant")
    return [int(number) for number in text.split(",")]


def name(_machine: Machine, text: str) -> str:
    if not text or "=" in text:
        raise ValueError("a name is meant")
    return text
