"""/sys/kernel/slab, as mm/slub.c lays it out: a directory a cache, a link for each merged name.

Slabs that are not full count as partial on a node's list; which slab a CPU allocates from just now
is not kept. What debugging options would show is off, and what they set cannot be set.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from vmfs.kernel import Feature
from vmfs.mm.slab import KmemCache
from vmfs.mm.slab_alias import aliases, create_unique_id
from vmfs.views.entry import Dir, File, Link
from vmfs.views.kstrtox import sysfs_streq

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

READ_ONLY, READ_WRITE = 0o400, 0o600
MIN_PARTIAL, MAX_PARTIAL = 5, 10


class CacheDir(NamedTuple):
    """What the files of a cache are about."""

    machine: Machine
    cache: KmemCache


def partial(cache: KmemCache) -> int:
    """The fewest slabs that the free objects fit in."""
    return -(-(cache.num_objs - cache.active_objs) // cache.objects_per_slab)


def min_partial(cache: KmemCache) -> int:
    """set_min_partial(): ilog2(size) / 2 within its bounds."""
    return max(MIN_PARTIAL, min(MAX_PARTIAL, (cache.size.bit_length() - 1) // 2))


def objects_partial(cache: KmemCache) -> int:
    return partial(cache) * cache.objects_per_slab - (cache.num_objs - cache.active_objs)


def per_node(d: CacheDir, total: int) -> str:
    """show_slab_objects(): a sum, and its parts on a machine of one node, where they are known."""
    parts = f" N{d.machine.nodes[0].nid}={total}" if len(d.machine.nodes) == 1 and total else ""
    return f"{total}{parts}\n"


def shrink(_d: CacheDir, data: bytes, _offset: int) -> int:
    """Free objects of a slab here are never kept as empty slabs: nothing is left to shrink."""
    if not sysfs_streq(data, "1"):
        raise OSError(errno.EINVAL, "expected 1")
    return len(data)


def number(name: str, value: Any, needs: Feature = Feature.BASE) -> File[CacheDir]:
    return File(name, lambda d: f"{value(d.cache)}\n", mode=READ_ONLY, needs=needs)


def counted(name: str, value: Any) -> File[CacheDir]:
    return File(name, lambda d: per_node(d, value(d.cache)), mode=READ_ONLY)


FILES: tuple[File[CacheDir] | Link[CacheDir], ...] = (
    File("aliases", lambda d: f"{max(0, len(aliases(*d)) - 1)}\n", mode=READ_ONLY),
    number("align", lambda cache: cache.align),
    number("cache_dma", lambda cache: int(cache.name.startswith("dma-"))),
    counted("cpu_slabs", lambda _: 0),
    number("min_partial", min_partial),
    number("object_size", lambda cache: cache.object_size or cache.size),
    counted("objects", lambda cache: cache.active_objs),
    counted("objects_partial", objects_partial),
    number("objs_per_slab", lambda cache: cache.objects_per_slab),
    number("order", lambda cache: cache.order),
    counted("partial", partial),
    number("poison", lambda _: 0),
    number("reclaim_account", lambda cache: int(cache.reclaimable)),
    number("red_zone", lambda _: 0),
    number("remote_node_defrag_ratio", lambda _: 100, Feature.NUMA),
    number("sanity_checks", lambda _: 0),
    File("shrink", lambda _: "", shrink, READ_WRITE),
    number("slab_size", lambda cache: cache.size),
    counted("slabs", lambda cache: cache.num_slabs),
    number("store_user", lambda _: 0),
    counted("total_objects", lambda cache: cache.num_objs),
    number("trace", lambda _: 0),
)


def each_cache(machine: Machine) -> Iterator[tuple[tuple[str], CacheDir]]:
    for cache in machine.slab_caches:
        yield (create_unique_id(machine.kernel, cache),), CacheDir(machine, cache)


def links(machine: Machine) -> Iterator[tuple[str, str]]:
    for cache in machine.slab_caches:
        for name in aliases(machine, cache):
            yield name, create_unique_id(machine.kernel, cache)


DIRS: tuple[Dir[Any], ...] = (
    Dir("/sys/kernel/slab", (), lambda machine: (((), machine),), links=links),
    Dir("/sys/kernel/slab/{}", FILES, each_cache),
)
