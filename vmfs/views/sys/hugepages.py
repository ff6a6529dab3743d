"""/sys/kernel/mm/hugepages and the pools of each node (mm/hugetlb.c, mm/hugetlb_sysfs.c)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from errno import EINVAL
from typing import TYPE_CHECKING, NamedTuple

from vmfs.kernel import Feature
from vmfs.mm.hugetlb import may_overcommit
from vmfs.mm.mmzone import PAGE_SHIFT
from vmfs.views.codec import SYSFS_LIMIT, ulong_max
from vmfs.views.entry import Dir, File
from vmfs.views.kstrtox import c_string, kstrtoull
from vmfs.views.tunable import fail

if TYPE_CHECKING:
    from vmfs.mm.hugetlb import Hstate
    from vmfs.mm.machine import Machine

_SUFFIXES = "KMGTPE"
_ULL_MAX = (1 << 64) - 1


class Pool(NamedTuple):
    """The huge pages of one size, of all nodes or of `nid` (mm/hugetlb.c: kobj_to_hstate())."""

    machine: Machine
    hstate: Hstate
    nid: int | None = None


def nr_hugepages(pool: Pool) -> int:
    """Surplus included, unlike the sysctl of the same name."""
    hstate = pool.hstate
    return hstate.nr_huge_pages if pool.nid is None else hstate.nr_huge_pages_node(pool.nid)


def free_hugepages(pool: Pool) -> int:
    hstate = pool.hstate
    return hstate.free_huge_pages if pool.nid is None else hstate.free_huge_pages_node(pool.nid)


def surplus_hugepages(pool: Pool) -> int:
    hstate = pool.hstate
    return hstate.surplus_huge_pages if pool.nid is None else hstate.surplus_huge_pages_node(pool.nid)


def resv_hugepages(pool: Pool) -> int:
    return pool.hstate.resv_huge_pages


def nr_overcommit_hugepages(pool: Pool) -> int:
    return pool.hstate.nr_overcommit_huge_pages


def store_nr_hugepages(pool: Pool, data: bytes) -> None:
    """nr_hugepages_store_common(); fewer pages than asked for is a success."""
    pool.machine.set_nr_hugepages(pool.hstate, _kstrtoul(pool, data), pool.nid)


def store_nr_overcommit_hugepages(pool: Pool, data: bytes) -> None:
    if not may_overcommit(pool.machine, pool.hstate):
        raise fail(EINVAL)
    pool.machine.set_nr_overcommit_hugepages(pool.hstate, _kstrtoul(pool, data))


def store_demote(pool: Pool, data: bytes) -> None:
    pool.machine.demote_hugepages(pool.hstate, _kstrtoul(pool, data), pool.nid)


def demote_size(pool: Pool) -> str:
    return f"{1 << (pool.hstate.demote_order + PAGE_SHIFT - 10)}kB\n"


def store_demote_size(pool: Pool, data: bytes) -> None:
    """demote_size_store(): another, smaller size; shared by the files of all nodes."""
    machine, hstate, _ = pool
    size = memparse(data)
    orders = [h.order for h in machine.hstates if size == 1 << (h.order + PAGE_SHIFT)]
    if not orders or not machine.kernel.pageblock_order <= orders[0] < hstate.order:
        raise fail(EINVAL)
    machine.set_attribute(hstate, "demote_order", orders[0])


def memparse(data: bytes) -> int:
    """lib/cmdline.c: bytes with an optional K, M, G... behind the number; what follows is ignored."""
    found = re.match(rb"(0[xX][0-9a-fA-F]+|[0-9]+)([kKmMgGtTpPeE]?)", c_string(data))
    if not found:
        return 0
    digits, suffix = found[1], found[2].decode().upper()
    octal = re.match(rb"0[0-7]*", digits)
    if octal and digits[:2].lower() != b"0x":
        # The number ends at the first digit that is none, and so does what memparse() looks at.
        digits, suffix = octal[0], suffix if octal.end() == len(digits) else ""
    value = int(digits, 16 if digits[:2].lower() == b"0x" else 8 if digits[:1] == b"0" else 10)
    return value << (10 * (_SUFFIXES.index(suffix) + 1) if suffix else 0) & _ULL_MAX


def _kstrtoul(pool: Pool, data: bytes) -> int:
    return kstrtoull(data, 10, ulong_max(pool.machine.kernel))


def _count(read: Callable[[Pool], int]) -> Callable[[Pool], str]:
    return lambda pool: f"{read(pool)}\n"


def _whole(store: Callable[[Pool, bytes], None]) -> Callable[[Pool, bytes, int], int]:
    """A write is the whole value, at any offset; an empty one never reaches the attribute."""

    def write(pool: Pool, data: bytes, offset: int) -> int:  # noqa: ARG001
        if data:
            store(pool, data[:SYSFS_LIMIT])
        return len(data[:SYSFS_LIMIT])

    return write


Named = tuple[tuple[int, ...], Pool]


def _pools(machine: Machine) -> Iterator[Named]:
    for hstate in machine.hstates:
        yield (hstate.size_kbytes,), Pool(machine, hstate)


def _node_pools(machine: Machine) -> Iterator[Named]:
    """hugetlb_register_node(); hugetlb_register_all_nodes() left out nodes without memory."""
    every = machine.kernel.has(Feature.HUGETLB_NODES_WITHOUT_MEMORY)
    for node in machine.nodes:
        if node.present_pages or every:
            for hstate in machine.hstates:
                yield (node.nid, hstate.size_kbytes), Pool(machine, hstate, node.nid)


def _demotable(pools: Iterator[Named]) -> Iterator[Named]:
    """Those of a size that has a smaller one: hugetlb_init_hstates()."""
    return (p for p in pools if any(h.order < p[1].hstate.order for h in p[1].machine.hstates))


_NR: File[Pool] = File("nr_hugepages", _count(nr_hugepages), _whole(store_nr_hugepages))
_FREE: File[Pool] = File("free_hugepages", _count(free_hugepages))
_SURPLUS: File[Pool] = File("surplus_hugepages", _count(surplus_hugepages))

NODE_FILES: tuple[File[Pool], ...] = (_NR, _FREE, _SURPLUS)

FILES: tuple[File[Pool], ...] = (
    *NODE_FILES,
    File("nr_hugepages_mempolicy", _NR.read, _NR.write, needs=Feature.NUMA),
    File("nr_overcommit_hugepages", _count(nr_overcommit_hugepages), _whole(store_nr_overcommit_hugepages)),
    File("resv_hugepages", _count(resv_hugepages)),
)

DEMOTE_FILES: tuple[File[Pool], ...] = (
    File("demote", write=_whole(store_demote)),
    File("demote_size", demote_size, _whole(store_demote_size)),
)

POOL = "/sys/kernel/mm/hugepages/hugepages-{}kB"
NODE_POOL = "/sys/devices/system/node/node{}/hugepages/hugepages-{}kB"

DIRS: tuple[Dir[Pool], ...] = (
    Dir(POOL, FILES, _pools),
    Dir(POOL, DEMOTE_FILES, lambda m: _demotable(_pools(m)), Feature.HUGETLB_DEMOTE),
    Dir(NODE_POOL, NODE_FILES, _node_pools, Feature.NUMA),
    Dir(NODE_POOL, DEMOTE_FILES, lambda m: _demotable(_node_pools(m)), Feature.HUGETLB_DEMOTE),
)
