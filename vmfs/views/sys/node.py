"""/sys/devices/system/node, as drivers/base/node.c lays it out.

The directories nodeN/hugepages belong to vmfs/views/sys/hugepages.py.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from vmfs.kernel import Feature, Kernel
from vmfs.mm.memory_block import blocks_of
from vmfs.mm.mmzone import PAGE_SIZE, Node
from vmfs.mm.vmstat import Item, Scope, items
from vmfs.views.entry import Dir, File, Link, top
from vmfs.views.kstrtox import c_string, kstrtoull
from vmfs.views.proc.vmstat import printed
from vmfs.views.seq import id_list, id_mask, kb_line, kbytes
from vmfs.views.sys.device import POWER, UEVENT, bus

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine


RECLAIM = re.compile(r"(0x[0-9a-fA-F]+|[0-9]+)([kmgtpeKMGTPE]?)(?: +swappiness=([0-9]{1,3}|max))?")
MAX_SWAPPINESS = 200
SWAPPINESS_ANON_ONLY = 201  # "max"


class NodeDir(NamedTuple):
    """What the files of nodeN are about."""

    machine: Machine
    node: Node


def each_node(machine: Machine) -> Iterator[tuple[tuple[int], NodeDir]]:
    return (((node.nid,), NodeDir(machine, node)) for node in machine.nodes)


class Row(NamedTuple):
    """A line of nodeN/meminfo: `value` in the unit that `line` prints."""

    label: str
    value: Callable[[NodeDir], int]
    needs: Feature = Feature.BASE
    line: Callable[[str, int, str], str] = kb_line


def count_line(label: str, count: int, prefix: str) -> str:
    """mm/hugetlb.c: hugetlb_report_node_meminfo()."""
    return f"{prefix}{label + ':':<16}{count:>6}\n"


def narrow_line(label: str, kb: int, prefix: str) -> str:
    """The two lines that lacked a blank until node_read_meminfo() was put right."""
    return f"{prefix}{label}: {kb:>8} kB\n"


def state(label: str, *counters: Item, needs: Feature = Feature.BASE) -> Row:
    """The sum of counters, in pages."""
    return Row(label, lambda d: kbytes(sum(d.node.page_state(i) for i in counters)), needs)


def narrow(label: str, item: Item) -> tuple[Row, Row]:
    kb: Callable[[NodeDir], int] = lambda d: kbytes(d.node.page_state(item))  # noqa: E731
    return (
        Row(label, kb, Feature.NODE_FILE_HUGEPAGES_NARROW, narrow_line),
        Row(label, kb, Feature.NODE_FILE_HUGEPAGES_ALIGNED),
    )


ROWS: tuple[Row, ...] = (
    Row("MemTotal", lambda d: kbytes(d.node.managed_pages)),
    Row("MemFree", lambda d: kbytes(d.node.free_pages)),
    Row("MemUsed", lambda d: kbytes(d.node.managed_pages - d.node.free_pages)),
    state("SwapCached", Item.NR_SWAPCACHED, needs=Feature.NR_SWAPCACHED_PER_NODE),
    state("Active", Item.NR_ACTIVE_ANON, Item.NR_ACTIVE_FILE),
    state("Inactive", Item.NR_INACTIVE_ANON, Item.NR_INACTIVE_FILE),
    state("Active(anon)", Item.NR_ACTIVE_ANON),
    state("Inactive(anon)", Item.NR_INACTIVE_ANON),
    state("Active(file)", Item.NR_ACTIVE_FILE),
    state("Inactive(file)", Item.NR_INACTIVE_FILE),
    state("Unevictable", Item.NR_UNEVICTABLE),
    state("Mlocked", Item.NR_MLOCK),
    state("Dirty", Item.NR_DIRTY),
    state("Writeback", Item.NR_WRITEBACK),
    state("FilePages", Item.NR_FILE_PAGES),
    state("Mapped", Item.NR_MAPPED),
    state("AnonPages", Item.NR_ANON_PAGES),
    state("Shmem", Item.NR_SHMEM),
    Row("KernelStack", lambda d: d.node.page_state(Item.NR_KERNEL_STACK)),  # counted in KiB
    state("PageTables", Item.NR_ZONE_PAGE_TABLE_PAGES, needs=Feature.PAGETABLES_PER_ZONE),
    state("PageTables", Item.NR_PAGE_TABLE_PAGES, needs=Feature.PAGETABLES_PER_NODE),
    state("SecPageTables", Item.NR_SEC_PAGE_TABLE_PAGES, needs=Feature.SEC_PAGETABLES),
    Row("NFS_Unstable", lambda _: 0),
    state("Bounce", Item.NR_BOUNCE),
    state("WritebackTmp", Item.NR_WRITEBACK_TEMP),
    state("KReclaimable", Item.NR_SLAB_RECLAIMABLE, Item.NR_KERNEL_MISC_RECLAIMABLE),
    state("Slab", Item.NR_SLAB_RECLAIMABLE, Item.NR_SLAB_UNRECLAIMABLE),
    state("SReclaimable", Item.NR_SLAB_RECLAIMABLE),
    state("SUnreclaim", Item.NR_SLAB_UNRECLAIMABLE),
    state("AnonHugePages", Item.NR_ANON_TRANSPARENT_HUGEPAGES),
    state("ShmemHugePages", Item.NR_SHMEM_HUGEPAGES),
    state("ShmemPmdMapped", Item.NR_SHMEM_PMDMAPPED),
    *narrow("FileHugePages", Item.NR_FILE_HUGEPAGES),
    *narrow("FilePmdMapped", Item.NR_FILE_PMDMAPPED),
    state("Unaccepted", Item.NR_UNACCEPTED, needs=Feature.UNACCEPTED_MEMORY),
    state("Balloon", Item.NR_BALLOON_PAGES, needs=Feature.NR_BALLOON),
    state("GPUActive", Item.NR_GPU_ACTIVE, needs=Feature.NR_GPU),
    state("GPUReclaim", Item.NR_GPU_RECLAIM, needs=Feature.NR_GPU),
    Row("HugePages_Total", lambda d: pool(d).nr_huge_pages_node(d.node.nid), line=count_line),
    Row("HugePages_Free", lambda d: pool(d).free_huge_pages_node(d.node.nid), line=count_line),
    Row("HugePages_Surp", lambda d: pool(d).surplus_huge_pages_node(d.node.nid), line=count_line),
)
"""nodeN/meminfo, in order."""


def pool(d: NodeDir) -> Any:
    return d.machine.default_hstate


def meminfo(d: NodeDir) -> str:
    """node_read_meminfo()."""
    shown = (row for row in ROWS if d.machine.kernel.has(row.needs))
    return "".join(row.line(row.label, row.value(d), f"Node {d.node.nid} ") for row in shown)


NUMASTAT = (
    ("numa_hit", Item.NUMA_HIT),
    ("numa_miss", Item.NUMA_MISS),
    ("numa_foreign", Item.NUMA_FOREIGN),
    ("interleave_hit", Item.NUMA_INTERLEAVE),
    ("local_node", Item.NUMA_LOCAL),
    ("other_node", Item.NUMA_OTHER),
)


def numastat(d: NodeDir) -> str:
    """node_read_numastat(): older names than vmstat's."""
    return "".join(f"{name} {d.node.page_state(item)}\n" for name, item in NUMASTAT)


def vmstat(d: NodeDir) -> str:
    """node_read_vmstat(): zone counters summed, then those of the node."""
    shown = items(d.machine.kernel, Scope.ZONE, Scope.NUMA, Scope.NODE)
    return "".join(f"{i.text} {printed(d.machine, i, d.node.page_state(i))}\n" for i in shown)


def compact(d: NodeDir, data: bytes, _offset: int) -> int:
    """compact_store(): anything compacts the node, before the write returns."""
    d.machine.compact_node(d.node.nid)
    return len(data)


def reclaim(d: NodeDir, data: bytes, _offset: int) -> int:
    """mm/vmscan.c: user_proactive_reclaim(), `SIZE [swappiness=N|max]`.

    EINVAL for anything else, EAGAIN when less was found.
    """
    pages, swappiness = reclaim_request(d.machine.kernel, data)
    if d.machine.reclaim_node(d.node.nid, pages, swappiness) < pages:
        raise OSError(errno.EAGAIN, "less than that could be reclaimed")
    return len(data)


def reclaim_request(kernel: Kernel, data: bytes) -> tuple[int, int | None]:
    """The pages wanted, and the swappiness for this time, if one was given."""
    found = re.fullmatch(RECLAIM, c_string(data).strip().decode("latin-1"))
    if not found:
        raise OSError(errno.EINVAL, "expected SIZE [swappiness=N]")
    shift = 10 * (" kmgtpe".index(found[2].lower()) if found[2] else 0)
    pages = (kstrtoull(found[1].encode(), 0, kernel.ulong_max) << shift) // PAGE_SIZE
    if found[3] is None:
        return pages, None
    swappiness = SWAPPINESS_ANON_ONLY if found[3] == "max" else int(found[3])
    if found[3] != "max" and swappiness > MAX_SWAPPINESS:
        raise OSError(errno.EINVAL, "swappiness is 0 to 200")
    return pages, swappiness


FILES: tuple[File[NodeDir] | Link[NodeDir], ...] = (
    File("compact", write=compact),
    File("cpulist", lambda d: f"{id_list(d.node.cpus)}\n"),
    File("cpumap", lambda d: f"{id_mask(d.node.cpus, d.machine.hardware.nr_cpu_ids)}\n"),
    File("distance", lambda d: " ".join(map(str, d.node.distances)) + "\n"),
    File("meminfo", meminfo),
    File("numastat", numastat),
    File("reclaim", write=reclaim, needs=Feature.PROACTIVE_RECLAIM),
    File("vmstat", vmstat),
    Link("subsystem", lambda _: "../../../../bus/node"),
    UEVENT,
)

MEMORY_FAILURE: tuple[File[NodeDir], ...] = tuple(
    File(name, lambda _: "0\n") for name in ("delayed", "failed", "ignored", "recovered", "total")
)
"""mm/memory-failure.c: what became of poisoned pages. No page is ever poisoned by a verb."""


def links(d: NodeDir) -> Iterator[tuple[str, str]]:
    """The node's CPUs and memory blocks."""
    yield from ((f"cpu{cpu}", f"../../cpu/cpu{cpu}") for cpu in d.node.cpus)
    yield from ((f"memory{i}", f"../../memory/memory{i}") for i in blocks_of(d.machine, d.node))


def node_state(name: str, holds: Callable[[Node], bool], needs: Feature = Feature.BASE) -> File[Machine]:
    return File(name, lambda m: f"{id_list(n.nid for n in m.nodes if holds(n))}\n", needs=needs)


def possible(machine: Machine) -> str:
    """Nodes that may come online later are known from a capture alone."""
    return (machine.hardware.possible_nodes or id_list(n.nid for n in machine.nodes)) + "\n"


def has_normal_memory(node: Node) -> bool:
    """N_NORMAL_MEMORY: memory in a zone up to Normal."""
    return any(z.populated and z.name in {"DMA", "DMA32", "Normal"} for z in node.zones)


DIRS: tuple[Dir[Any], ...] = (
    top(
        "/sys/devices/system/node",
        node_state("has_cpu", lambda n: bool(n.cpus)),
        node_state("has_generic_initiator", lambda _: False),
        node_state("has_memory", lambda n: n.present_pages > 0),
        node_state("has_normal_memory", has_normal_memory),
        node_state("online", lambda _: True),
        File("possible", possible),
        UEVENT,
        needs=Feature.NUMA,
    ),
    Dir("/sys/devices/system/node/node{}", FILES, each_node, Feature.NUMA, links),
    bus("node", lambda m: (node.nid for node in m.nodes), Feature.NUMA),
    top("/sys/devices/system/node/power", *POWER, needs=Feature.NUMA),
    Dir("/sys/devices/system/node/node{}/power", POWER, each_node, Feature.NUMA),
    Dir("/sys/devices/system/node/node{}/x86", (), each_node, Feature.NODE_SGX),
    Dir(
        "/sys/devices/system/node/node{}/memory_failure",
        MEMORY_FAILURE,
        each_node,
        Feature.NODE_MEMORY_FAILURE,
    ),
)
