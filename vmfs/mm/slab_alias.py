"""Which caches share one, and under which names (mm/slab_common.c: find_mergeable()).

Slabinfo names a shared cache after whoever created it first; the others are known from tables of
the distributions' kernels, vmfs/data/slab-aliases-*.txt: an id of sysfs and the names behind it.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

from vmfs.kernel import Arch, Kernel, Release

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine
    from vmfs.mm.slab import KmemCache

OLDEST_32BIT: Release = (6, 1)
"""The one release whose 32-bit table is known."""


@lru_cache
def groups(release: Release, arch: Arch) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Name of a merged cache -> the id it had, and all names of that id."""
    release = OLDEST_32BIT if arch is Arch.I386 else release
    name = f"slab-aliases-{release[0]}.{release[1]}-{arch.value}.txt"
    lines = (files("vmfs") / "data" / name).read_text().splitlines()
    rows = [(line.split()[0], tuple(line.split()[1:])) for line in lines]
    return {alias: (unique_id, names) for unique_id, names in rows for alias in names}


def create_unique_id(kernel: Kernel, cache: KmemCache) -> str:
    """mm/slub.c: the directory's name, from flags and size; the cache's own where it is not merged."""
    found = groups(kernel.release, kernel.arch).get(cache.name)
    if found is None:
        return cache.name
    return f"{found[0][:-7]}{cache.size:07}"


def aliases(machine: Machine, cache: KmemCache) -> tuple[str, ...]:
    """Every name of a merged cache; none for one that is not."""
    _, names = groups(machine.kernel.release, machine.kernel.arch).get(cache.name, ("", ()))
    apart = {other.name for other in machine.slab_caches} - {cache.name}
    return tuple(name for name in names if name not in apart)
