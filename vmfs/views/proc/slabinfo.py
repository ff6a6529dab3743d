"""/proc/slabinfo, as mm/slab_common.c: cache_show() writes it for SLUB."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmfs.mm.slab import KmemCache
from vmfs.views.entry import File, top

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

HEADER = (
    "slabinfo - version: 2.1\n"
    "# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab>"
    " : tunables <limit> <batchcount> <sharedfactor>"
    " : slabdata <active_slabs> <num_slabs> <sharedavail>\n"
)
"""print_slabinfo_header()."""


def line(cache: KmemCache) -> str:
    """SLUB has no tunables and no inactive slabs."""
    return (
        f"{cache.name:<17} {cache.active_objs:>6} {cache.num_objs:>6} {cache.size:>6}"
        f" {cache.objects_per_slab:>4} {1 << cache.order:>4}"
        f" : tunables {0:>4} {0:>4} {0:>4}"
        f" : slabdata {cache.num_slabs:>6} {cache.num_slabs:>6} {0:>6}\n"
    )


def slabinfo(machine: Machine) -> str:
    return HEADER + "".join(map(line, machine.slab_caches))


DIRS = (top("/proc", File("slabinfo", slabinfo, mode=0o400)),)
