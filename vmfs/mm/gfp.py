"""What an allocation may do, as a mask and in words (include/linux/gfp_types.h, trace/events/mmflags.h)."""

from __future__ import annotations

from vmfs.kernel import Feature, Kernel

DMA, HIGHMEM, DMA32, MOVABLE, RECLAIMABLE = 0x01, 0x02, 0x04, 0x08, 0x10
HIGH, IO, FS, ZERO = 0x20, 0x40, 0x80, 0x100
DIRECT_RECLAIM, KSWAPD_RECLAIM = 0x400, 0x800
WRITE, NOWARN, RETRY_MAYFAIL, NOFAIL, NORETRY = 0x1000, 0x2000, 0x4000, 0x8000, 0x10000
MEMALLOC, COMP, NOMEMALLOC, HARDWALL, THISNODE = 0x20000, 0x40000, 0x80000, 0x100000, 0x200000
ACCOUNT = 0x400000

RECLAIM = DIRECT_RECLAIM | KSWAPD_RECLAIM
GFP_KERNEL = RECLAIM | IO | FS
GFP_KERNEL_ACCOUNT = GFP_KERNEL | ACCOUNT
GFP_PGTABLE_USER = GFP_KERNEL_ACCOUNT | ZERO
GFP_USER = GFP_KERNEL | HARDWALL
GFP_HIGHUSER_MOVABLE = GFP_USER | HIGHMEM | MOVABLE

_TRANSHUGE_LIGHT = (GFP_HIGHUSER_MOVABLE | COMP | NOMEMALLOC | NOWARN) & ~RECLAIM

_GROUPS = (
    ("GFP_TRANSHUGE", _TRANSHUGE_LIGHT | DIRECT_RECLAIM),
    ("GFP_TRANSHUGE_LIGHT", _TRANSHUGE_LIGHT),
    ("GFP_HIGHUSER_MOVABLE", GFP_HIGHUSER_MOVABLE),
    ("GFP_HIGHUSER", GFP_USER | HIGHMEM),
    ("GFP_USER", GFP_USER),
    ("GFP_KERNEL_ACCOUNT", GFP_KERNEL_ACCOUNT),
    ("GFP_KERNEL", GFP_KERNEL),
    ("GFP_NOFS", RECLAIM | IO),
    ("GFP_ATOMIC", HIGH | KSWAPD_RECLAIM),
    ("GFP_NOIO", RECLAIM),
    ("GFP_NOWAIT", KSWAPD_RECLAIM),
    ("GFP_DMA", DMA),
)
_LISTED = (
    ("__GFP_HIGHMEM", HIGHMEM),
    ("GFP_DMA32", DMA32),
    ("__GFP_HIGH", HIGH),
    ("__GFP_IO", IO),
    ("__GFP_FS", FS),
    ("__GFP_NOWARN", NOWARN),
    ("__GFP_RETRY_MAYFAIL", RETRY_MAYFAIL),
    ("__GFP_NOFAIL", NOFAIL),
    ("__GFP_NORETRY", NORETRY),
    ("__GFP_COMP", COMP),
    ("__GFP_ZERO", ZERO),
    ("__GFP_NOMEMALLOC", NOMEMALLOC),
    ("__GFP_MEMALLOC", MEMALLOC),
    ("__GFP_HARDWALL", HARDWALL),
    ("__GFP_THISNODE", THISNODE),
    ("__GFP_RECLAIMABLE", RECLAIMABLE),
    ("__GFP_MOVABLE", MOVABLE),
    ("__GFP_ACCOUNT", ACCOUNT),
    ("__GFP_WRITE", WRITE),
    ("__GFP_RECLAIM", RECLAIM),
    ("__GFP_DIRECT_RECLAIM", DIRECT_RECLAIM),
    ("__GFP_KSWAPD_RECLAIM", KSWAPD_RECLAIM),
)
"""The order in which the names are tried; 7.2 tries single flags by their bit."""


def names(kernel: Kernel, mask: int) -> str:
    """`%pGg`: the names joined by `|`, what has none as a number."""
    single: tuple[tuple[str, int], ...] = _LISTED
    if kernel.has(Feature.GFP_NAMES_BY_BIT):
        single = tuple(sorted(_LISTED, key=lambda row: (row[1].bit_count() > 1, row[1])))
    found: list[str] = []
    for name, bits in (*_GROUPS, *single):
        if mask & bits == bits:
            found.append(name)
            mask &= ~bits
    if mask:
        found.append(f"{mask:#x}")
    return "|".join(found) or "none"


def user_page(kernel: Kernel, *, zeroed: bool = False) -> int:
    """A page of a process or of the page cache: a compound one since allocations are folios."""
    return GFP_HIGHUSER_MOVABLE | (COMP if kernel.has(Feature.FOLIOS) else 0) | (ZERO if zeroed else 0)
