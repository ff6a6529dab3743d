"""The steps file: what is done to a machine, and the numbers in it that follow from the machine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.recording.faults import Fault

VERBS = {
    "step": 1,
    "say": 1,
    "write": 2,
    "settle": 1,
    "hold-huge": 4,
    "hold-anon": 1,
    "exit": 0,
    "remove": 1,
    "mount": 2,
    "read": 1,
    "swapon": 1,
    "swapoff": 1,
    "out-of-memory": 0,
    "holder": 0,
    "dmesg": 1,
    "meta": 0,
    "calls": 0,
    "writes": 0,
    "sequences": 0,
}
"""Verb of guest/run.c -> how many arguments it takes. The last one is the rest of the line."""

LOADS = "loads"
"""The line where the steps begin that fill memory."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How much of a recording to make."""

    loads: bool = True
    write_table: bool = True

    @property
    def tail(self) -> list[str]:
        """What follows the steps. What the table of writes leaves behind shows in the sequences."""
        table = ["writes"] if self.write_table else []
        return ["calls", *table, "sequences", "dmesg\tdmesg-end.txt"]


def quantities(mebibytes: int, low_mebibytes: int, last_node: int, huge_kbytes: int) -> dict[str, int]:
    """The numbers in braces. Pools count huge pages, `anon` and `more_anon` MiB.

    They are large enough to be seen: a pool is 4 % of memory, the two processes together are nearly all,
    and the high watermarks that follow from `large_min_free_kbytes` (half as much again) need most of what
    the files take. It is the kernel's own memory that they need: of high memory, none.
    """
    pool = max(mebibytes * 1024 * 4 // 100 // huge_kbytes, 8)
    shrunk, surplus = pool * 2 // 5, max(pool * 3 // 10, 2)
    mapped = max(shrunk * 3 // 4, 2)
    return {
        "min_free_kbytes": mebibytes * 1024 * 4 // 100 // 1000 * 1000,
        "large_min_free_kbytes": (low_mebibytes - 300) * 1024 * 2 // 3 // 1000 * 1000,
        "pool": pool,
        "node_pool": max(pool // 4, 2),
        "shrunk_pool": shrunk,
        "surplus": surplus,
        "mapped": mapped,
        "touched": max(mapped // 3, 1),
        "beyond": shrunk + surplus // 2,
        "anon": mebibytes * 30 // 100,
        "more_anon": mebibytes * 65 // 100,
        "last_node": last_node,
        "huge_kbytes": huge_kbytes,
    }


def compiled(path: Path, numbers: Mapping[str, int], extent: Extent) -> str:
    """The file as guest/run.c obeys it: tabs between arguments, numbers for words in braces."""
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise Fault(f"{path}: {error.strerror}") from None
    program = []
    for number, line in enumerate(lines, 1):
        if line.strip() == LOADS:
            if not extent.loads:
                break
        elif line.strip() and not line.lstrip().startswith("#"):
            program.append(_line(f"{path}, line {number}", line.strip(), numbers))
    return "\n".join([*program, *extent.tail]) + "\n"


def names(program: str) -> list[str]:
    """The steps of a compiled program."""
    return [line.split("\t")[1] for line in program.splitlines() if line.startswith("step\t")]


def _line(where: str, line: str, numbers: Mapping[str, int]) -> str:
    verb, *rest = line.split(maxsplit=1)
    if verb not in VERBS:
        raise Fault(f"{where}: no verb {verb!r}; there are {', '.join(VERBS)}, {LOADS}")
    count = VERBS[verb]
    arguments = rest[0].split(maxsplit=count - 1) if rest and count else rest
    if len(arguments) != count:
        raise Fault(f"{where}: {verb} takes {count} arguments, not {len(arguments)}")
    if verb == "step" and not re.fullmatch(r"\d\d-\w+", arguments[0]):
        raise Fault(f"{where}: {arguments[0]!r} names no step; accepted: two digits and a word, as 06-pool")
    return "\t".join([verb, *(_filled(where, word, numbers) for word in arguments)])


def _filled(where: str, word: str, numbers: Mapping[str, int]) -> str:
    def number(found: re.Match[str]) -> str:
        if found[1] not in numbers:
            raise Fault(f"{where}: no number {found[0]}; there are {', '.join(numbers)}")
        return str(numbers[found[1]])

    return re.sub(r"\{(\w*)\}", number, word)
