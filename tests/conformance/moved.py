"""What time or the reading itself moved while a recording was made, with the reason for each.

The files of one step were read one after another, and each copy landed in a tmpfs of the same machine.
So the same quantity differs a little from file to file; the model holds one value. A line agrees when
only the numbers of a quantity listed here differ, and by no more than its skew.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

NOT_OF_THE_MACHINE = re.compile(
    r"/proc/self/"  # the process that made the copy, which is gone
)


def pages(limit: int) -> Callable[[int, int], bool]:
    """Differs by at most so many pages."""
    return lambda kernel, ours: abs(kernel - ours) <= limit


free_pages = pages(2560)
"""What a few processes map, and the lists of many CPUs hold, in the seconds between two files. Only the
machine of 256 GiB, whose memory is still being handed out at boot, needs more than a tenth of it."""

listed_pages = pages(256)
"""The same in files that were read next to each other."""


def pages_counted(kernel: int, ours: int) -> bool:
    """Events, which grow with all that was copied before."""
    return abs(kernel - ours) <= 256 + kernel * 15 // 100


@dataclass(frozen=True, slots=True)
class Moved:
    """`label` matches the text before the numbers."""

    path: str
    label: str
    within: Callable[[int, int], bool]
    why: str


_FILES = r"/proc/(meminfo|vmstat|zoneinfo)|/sys/devices/system/node/node\d+/(meminfo|vmstat|numastat)"

MOVED = (
    Moved(
        _FILES,
        r"MemFree|LowFree|HighFree|MemUsed|nr_free_pages|pages free",
        free_pages,
        "every page that the copying takes or gives back",
    ),
    Moved(
        _FILES,
        r"MemAvailable|nr_dirty_(background_)?threshold",
        listed_pages,
        "follows from the free pages",
    ),
    Moved(
        _FILES,
        r"nr_free_pages_blocks",
        pages(1024),
        "a block that is broken for one page counts whole: two of them",
    ),
    Moved(
        _FILES,
        r"Cached|FilePages|Shmem|Active|Inactive|Active\(anon\)|Inactive\(anon\)"
        r"|nr_file_pages|nr_shmem|nr_(zone_)?(in)?active_anon",
        pages(256),
        "the copies themselves, in tmpfs",
    ),
    Moved(
        _FILES,
        r"KReclaimable|Slab|SReclaimable|SUnreclaim|nr_slab_(un)?reclaimable",
        pages(128),
        "the dentries and inodes of the copies",
    ),
    Moved(
        _FILES,
        r"AnonPages|KernelStack|PageTables|VmallocUsed|nr_anon_pages|nr_kernel_stack|nr_page_table_pages"
        r"|nr_vmalloc|Committed_AS|nr_mapped|Mapped",
        pages(128),
        "the process that copies, which starts others",
    ),
    Moved(
        _FILES,
        r"numa_(hit|miss|foreign|local|other)|(local|other)_node",
        pages_counted,
        "every page that the copying takes is counted",
    ),
)


def agree(path: str, kernel: str, ours: str) -> bool:
    """Whether two lines differ by no more than the reading explains."""
    label, numbers, skeleton = _taken_apart(kernel)
    other_label, other_numbers, other_skeleton = _taken_apart(ours)
    if (label, skeleton) != (other_label, other_skeleton):
        return False
    rule = next((m for m in MOVED if re.fullmatch(m.path, path) and re.fullmatch(m.label, label)), None)
    if rule is None:
        return False
    scale = 4 if kernel.endswith(" kB") else 1
    return all(rule.within(k // scale, o // scale) for k, o in zip(numbers, other_numbers, strict=True))


def _taken_apart(line: str) -> tuple[str, list[int], str]:
    """The label, the numbers behind it, and all that is neither number nor blank."""
    found = re.fullmatch(r"(?:Node \d+ )?\s*([a-zA-Z_() ]+?):?\s+(\d[\d\s]*)(kB)?", line)
    if found is None:
        return line, [], line
    return found[1], [int(n) for n in found[2].split()], line[: found.start(1)] + (found[3] or "")


def free_lists_agree(kernel: str, ours: str) -> bool:
    """buddyinfo, pagetypeinfo: the same zone and type, and as many free pages within the skew."""
    old, new = kernel.split(), ours.split()
    counts = sum(1 for _ in _trailing_numbers(old))
    if len(old) != len(new) or old[: len(old) - counts] != new[: len(new) - counts]:
        return False
    return listed_pages(_sum(old), _sum(new))


def _trailing_numbers(words: list[str]) -> list[int]:
    numbers: list[int] = []
    for word in reversed(words):
        if not word.isdigit():
            break
        numbers.insert(0, int(word))
    return numbers


def _sum(words: list[str]) -> int:
    return sum(count << order for order, count in enumerate(_trailing_numbers(words)))
