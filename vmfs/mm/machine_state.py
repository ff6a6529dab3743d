"""What a machine is made of, laid out from a snapshot; machine.py has the verbs that change it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vmfs.kernel import Feature, Kernel
from vmfs.mm import build
from vmfs.mm.clock import Clock, Timetable
from vmfs.mm.cpu import CpuStat
from vmfs.mm.current import INIT, Current
from vmfs.mm.damon import Damon
from vmfs.mm.growth import Growth
from vmfs.mm.huge_memory import TransparentHugePages
from vmfs.mm.hugetlb import Hstate
from vmfs.mm.ksm import Ksm
from vmfs.mm.lru import Lru, Use
from vmfs.mm.lru_gen import LruGen
from vmfs.mm.memory_block import MemoryHotplug
from vmfs.mm.memory_tiers import MemoryTiers
from vmfs.mm.mempolicy import Mempolicy
from vmfs.mm.mmzone import Node, Zone, zone_names
from vmfs.mm.printk import Level, Log
from vmfs.mm.psi import Psi
from vmfs.mm.slab import KmemCache
from vmfs.mm.snapshot import Snapshot
from vmfs.mm.swap_state import SwapReadahead
from vmfs.mm.swapfile import SwapArea
from vmfs.mm.sysctl import Sysctl
from vmfs.mm.tasks import Task
from vmfs.mm.vmstat import COLUMN, Item, Scope, columns
from vmfs.mm.zonelist import fallback_order


class MachineState:
    """Counts, settings, and nodes with their pages. All sizes in pages.

    `generation` moves with every change of state, `topology` with the set of visible directories.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self.kernel: Kernel = snapshot.kernel
        self.name = snapshot.name
        self.seed = snapshot.seed
        self.hardware = snapshot.hardware
        self.generation = 0
        self.topology = 0
        self.zone_names = zone_names(self.kernel)
        self.clock = Clock(snapshot.uptime_centisecs * 10_000)
        self.timetable: Timetable | None = None
        self.log = Log.of(snapshot.hardware.nr_cpu_ids)
        for microsecs, level, text in snapshot.log:
            self.log.emit(level, text, microsecs)
        self.current: Current = INIT
        self.captured_on = snapshot.cpu
        self.panicked = ""  # why the machine stands still
        self._settings(snapshot)
        self._counts(snapshot)
        self._memory(snapshot)

    def _settings(self, snapshot: Snapshot) -> None:
        self.sysctl = Sysctl.of(snapshot)
        self.thp = TransparentHugePages.of(snapshot)
        self.ksm = Ksm()
        self.damon = Damon()
        self.lru_gen = LruGen.of(snapshot)
        self.mempolicy = Mempolicy.of(snapshot)
        self.memory_tiers = MemoryTiers()
        self.swap_readahead = SwapReadahead()
        self.memory_hotplug = MemoryHotplug.of(self.kernel)
        self.cpu_stat = CpuStat.of(snapshot)
        self.psi = Psi.of(snapshot)

    def _counts(self, snapshot: Snapshot) -> None:
        self._events = np.zeros(columns(Scope.EVENT), np.int64)
        build.fill_counts(self._events, Scope.EVENT, snapshot.events)
        self.flushed_centisecs: int | None = None  # when the flusher ran last, while it has work
        self.buffers = snapshot.buffers
        self.swapcache = snapshot.swapcache
        self.committed_as = snapshot.committed_as
        self.percpu_pages = snapshot.percpu
        self.vmalloc_used = snapshot.vmalloc_used
        self.zswap_kbytes = snapshot.zswap_kbytes
        self.hwpoisoned = snapshot.hwpoisoned
        self.direct_map = dict(snapshot.direct_map)
        self.nr_memmap = snapshot.nr_memmap

    def _memory(self, snapshot: Snapshot) -> None:
        self.hstates: list[Hstate] = build.build_hstates(snapshot)
        self.default_hstate = next(
            h for h in self.hstates if h.size_kbytes == snapshot.default_hugepage_kbytes
        )
        self.slab_caches: list[KmemCache] = build.build_caches(snapshot.slab_caches)
        self._cache_by_name = {cache.name: cache for cache in self.slab_caches}
        self.swap_areas: list[SwapArea] = build.build_swaps(snapshot)
        self.proc_poll_event = 0  # swap areas that came and went
        # Swapped pages of no task here; a capture does not say what its areas hold.
        self.swapped = {Use.SHMEM: sum(area.used for area in self.swap_areas)}
        self.nodes: list[Node] = [
            build.build_node(self.kernel, state, self.hstates, snapshot.hugepages) for state in snapshot.nodes
        ]
        build.mark_buffers(self.nodes, snapshot.buffers)
        build.mark_huge(self.nodes)
        build.fill_moved_events(self.nodes[0], self.kernel, snapshot.events)
        self._node_by_nid = {node.nid: node for node in self.nodes}
        self.fallback = fallback_order(self.nodes)
        self.tasks: dict[int, Task] = {}
        self.reaped: list[tuple[int, str]] = []  # the second of uptime, and what the OOM reaper says then
        self.growth = Growth()
        self.next_pid = self.cpu_stat.first_pid
        self.given_pids: list[int] | None = None  # see fork.give_pids()
        self._protections_are_stale = True

    # -- reading -----------------------------------------------------------------------------

    def zones(self) -> Iterator[tuple[Node, Zone]]:
        """All zones of all nodes, populated or not, in order."""
        return ((node, zone) for node in self.nodes for zone in node.zones)

    def node(self, nid: int) -> Node:
        """KeyError when there is no such node."""
        return self._node_by_nid[nid]

    def zone_index(self, name: str) -> int:
        return self.zone_names.index(name)

    def distance(self, a: int, b: int) -> int:
        """node_distance()"""
        return self.node(a).distances[[node.nid for node in self.nodes].index(b)]

    def cpu_of(self, nid: int) -> int:
        """The CPU of whoever acts; else the one on which the node's work is done: its first, or the first.

        Who captured a machine is taken to go on where it ran.
        """
        for cpu in (self.current.cpu, self.captured_on):
            if cpu is not None:
                return cpu
        return (self.node(nid).cpus or self.hardware.online_cpus)[0]

    @property
    def numa(self) -> bool:
        return self.kernel.has(Feature.NUMA)

    @property
    def default_nid(self) -> int:
        """Where work without a node of its own runs: the first node with CPUs."""
        return next((node.nid for node in self.nodes if node.cpus), self.nodes[0].nid)

    @property
    def totalram_pages(self) -> int:
        return sum(node.managed_pages for node in self.nodes)

    @property
    def free_pages(self) -> int:
        return sum(node.free_pages for node in self.nodes)

    def slab_cache(self, name: str) -> KmemCache | None:
        return self._cache_by_name.get(name)

    def event(self, item: Item) -> int:
        return int(self._events[COLUMN[item]])

    # -- for the parts of the model ----------------------------------------------------------

    def count_event(self, item: Item, count: int) -> None:
        """count_vm_events(); events never fall."""
        self._events[COLUMN[item]] += count

    @property
    def new_anon_list(self) -> Lru:
        """Fresh anonymous pages start inactive, or in the youngest generation where lru_gen is on."""
        return Lru.ACTIVE_ANON if self.lru_gen.enabled else Lru.INACTIVE_ANON

    def printk(self, level: int, text: str) -> None:
        """One record of the kernel's log, of now."""
        self.log.emit(level, text, self.clock.microsecs)

    def warn(self, text: str) -> None:
        """pr_warn() on behalf of a write, which may be refused and change nothing else."""
        self.printk(Level.WARNING, text)
        self.touch()

    def touch(self) -> None:
        """The state has changed: every rendered text is stale."""
        self.generation += 1
