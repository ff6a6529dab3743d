"""A machine as plain counts: what boot computes from a description and what a capture is parsed into.

`Machine.from_snapshot` lays these counts out over real page frames. Pages, unless the name says
otherwise. Counters are keyed by their text in /proc/vmstat ("nr_mlock").
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from vmfs.kernel import Kernel
from vmfs.mm.mmzone import NR_PAGE_ORDERS, MigrateType
from vmfs.spec.tlb import Tlb


def no_blocks() -> dict[MigrateType, list[int]]:
    """Free lists without a block."""
    return {t: [0] * NR_PAGE_ORDERS for t in MigrateType}


@dataclass(slots=True)
class ZoneState:
    """One zone, populated or not; `free[migratetype][order]` counts free blocks."""

    name: str
    start_pfn: int = 0
    spanned: int = 0
    present: int = 0
    managed: int = 0
    cma: int = 0
    boost: int = 0
    free: dict[MigrateType, list[int]] = field(default_factory=no_blocks)
    pageblocks: dict[MigrateType, int] = field(default_factory=dict)
    pcp_count: dict[int, int] = field(default_factory=dict)  # cpu -> pages on its lists
    pcp_huge: dict[int, int] = field(default_factory=dict)  # cpu -> huge pages among them
    pcp_high: dict[int, int] = field(default_factory=dict)  # cpu -> auto-tuned high (6.12, 7.2)
    # What the kernel keeps from its last set-up; None: computed from `managed`.
    watermark: tuple[int, int, int] | None = None  # min, low, high as printed
    lowmem_reserve: tuple[int, ...] | None = None
    pageset: tuple[int, int, int] | None = None  # batch, high_min, high_max; high twice where it is fixed
    stat_threshold: int | None = None
    stat: dict[str, int] = field(default_factory=dict)
    numa: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class NodeState:
    nid: int
    cpus: tuple[int, ...]  # online
    distances: tuple[int, ...]  # to the online nodes, ascending
    zones: list[ZoneState]  # every zone of the kernel, in index order
    stat: dict[str, int] = field(default_factory=dict)
    kswapd_failures: int = 0


@dataclass(slots=True)
class SlabState:
    """A line of slabinfo. `size` is the object with metadata, as slabinfo's objsize."""

    name: str
    size: int
    objects_per_slab: int
    order: int
    active_objs: int
    num_objs: int
    num_slabs: int
    reclaimable: bool
    object_size: int = 0
    align: int = 8


@dataclass(slots=True)
class HugePageState:
    """One hstate; per-node numbers are keyed by node id, counted in huge pages."""

    size_kbytes: int
    nr: dict[int, int] = field(default_factory=dict)
    free: dict[int, int] = field(default_factory=dict)
    surplus: dict[int, int] = field(default_factory=dict)
    resv: int = 0
    overcommit: int = 0
    max_huge_pages: int = 0
    next_nid_to_alloc: int | None = None


@dataclass(slots=True)
class SwapState:
    name: str
    kind: str  # "partition" or "file"
    pages: int
    used: int
    priority: int


@dataclass(slots=True)
class Hardware:
    """What the files tell about the machine that is not memory management's own state."""

    nr_cpu_ids: int  # possible CPUs
    present_cpus: tuple[int, ...]
    online_cpus: tuple[int, ...]
    la57: bool = False  # 5-level page tables: a larger VmallocTotal
    memory_block_bytes: int = 128 << 20
    version: str = ""  # the line of /proc/version
    cmdline: str = ""
    cpuinfo: list[list[tuple[str, str]]] = field(default_factory=list)  # per CPU: (key, value)
    filesystems: list[tuple[bool, str]] = field(default_factory=list)  # (nodev, name)
    mounts: list[tuple[str, ...]] = field(default_factory=list)  # the six columns
    iomem: list[tuple[int, int, int, str]] = field(default_factory=list)  # depth, first, last, name
    possible_nodes: str = ""  # node list text, where it differs from the online nodes
    tlb: Tlb = field(default_factory=Tlb)


@dataclass(slots=True)
class Snapshot:
    kernel: Kernel
    name: str
    seed: int
    hardware: Hardware
    nodes: list[NodeState]
    slab_caches: list[SlabState]  # in slabinfo's order
    hugepages: list[HugePageState]  # in the kernel's order: 1 GiB before 2 MiB
    default_hugepage_kbytes: int
    swaps: list[SwapState] = field(default_factory=list)
    events: dict[str, int] = field(default_factory=dict)
    sysctl: dict[str, Any] = field(default_factory=dict)  # attribute of Sysctl -> value
    buffers: int = 0  # page cache of block devices, part of nr_file_pages
    swapcache: int = 0  # where the kernel has no nr_swapcached
    committed_as: int = 0
    mem_available: int | None = None  # as printed; tells what no file says of totalreserve_pages
    percpu: int = 0
    vmalloc_used: int = 0
    zswap_kbytes: tuple[int, int] = (0, 0)  # Zswap, Zswapped
    hwpoisoned: int = 0
    direct_map: dict[str, int] = field(default_factory=dict)  # "4k" -> kbytes
    nr_memmap: tuple[int, int] = (0, 0)  # nr_memmap_pages, nr_memmap_boot_pages
    uptime_centisecs: int = 0
    idle_centisecs: int = 0
    cpu: int | None = None  # where who captured the machine ran
    stat: dict[str, Any] = field(default_factory=dict)  # /proc/stat, loadavg as parsed; see mm/cpu.py
    log: list[tuple[int, int, str]] = field(default_factory=list)  # microseconds, level, text
