"""The only padding, unit conversion and set notation of the project (fs/seq_file.c, lib/vsprintf.c)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vmfs.mm.bitmap import id_list
from vmfs.mm.mmzone import PAGE_SHIFT

__all__ = ["counts", "id_list", "id_mask", "kb_line", "kbytes", "mangle"]


def kbytes(pages: int) -> int:
    return pages << (PAGE_SHIFT - 10)


def kb_line(label: str, kb: int, prefix: str = "") -> str:
    """fs/proc/meminfo.c: show_val_kb(); `prefix` is node*/meminfo's "Node 0 ".

    A label too long for its 16 columns takes the room from the number: HardwareCorrupted.
    """
    head = f"{label + ':':<15} "
    return f"{prefix}{head}{kb:>{24 - len(head)}} kB\n"


def id_mask(ids: Iterable[int], bits: int) -> str:
    """lib/vsprintf.c: bitmap_string(), `%*pb`: groups of 32 bits, the highest first.

    `bits` is the width of the set: the first group has only the digits that its bits need.
    """
    mask = 0
    for i in ids:
        mask |= 1 << i
    groups = (bits + 31) // 32
    words = [mask >> (32 * group) & 0xFFFFFFFF for group in range(groups)]
    first = (bits - 32 * (groups - 1) + 3) // 4
    digits = [8] * (groups - 1) + [first]
    return ",".join(f"{word:0{width}x}" for word, width in reversed(list(zip(words, digits, strict=True))))


def counts(values: Sequence[int], width: int = 6) -> str:
    """Columns that each end in a blank, as the per-order tables of mm/vmstat.c."""
    return "".join(f"{value:>{width}} " for value in values)


def mangle(text: str, escaped: str = " \t\n\\") -> str:
    r"""fs/seq_file.c: mangle_path(), blanks, tabs, newlines and backslashes as octal: \040."""
    return "".join(f"\\{ord(c):03o}" if c in escaped else c for c in text)
