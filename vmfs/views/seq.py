"""The only padding and the only unit conversion of the project (fs/seq_file.c)."""

from __future__ import annotations

from vmfs.mm.mmzone import PAGE_SHIFT


def kbytes(pages: int) -> int:
    return pages << (PAGE_SHIFT - 10)


def kb_line(label: str, kb: int, prefix: str = "") -> str:
    """fs/proc/meminfo.c: show_val_kb(); `prefix` is node*/meminfo's "Node 0 "."""
    head = f"{label}:"
    return f"{prefix}{head:<16}{kb:>{24 - max(16, len(head))}} kB\n"
