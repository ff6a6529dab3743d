"""The machine: its state, and every verb that changes it. No text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from vmfs.kernel import Feature, Kernel
from vmfs.mm import (
    build,
    compaction,
    file_set,
    filemap,
    fork,
    hugetlb,
    hugetlb_demote,
    hugetlbfs_inode,
    oom_kill,
    page_writeback,
    settings,
    shrinker,
    slab,
    state,
    swapfile,
    swapoff,
    tasks,
    timer,
    vmscan,
    wmark,
    wmark_restore,
)
from vmfs.mm import fragment as fragmenting
from vmfs.mm.alloc_request import Parts, Request
from vmfs.mm.clock import Clock, Timetable
from vmfs.mm.cpu import CpuStat
from vmfs.mm.current import INIT, Current
from vmfs.mm.damon import Damon
from vmfs.mm.exit import exit_task
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
from vmfs.mm.tasks import Memory, Task
from vmfs.mm.vmstat import COLUMN, Item, Scope, columns
from vmfs.mm.zonelist import fallback_order


class Machine:
    """A machine made of counts; see `from_snapshot`. All sizes in pages.

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
        self.panicked = ""  # why the machine stands still
        self._settings(snapshot)
        self._counts(snapshot)
        self._memory(snapshot)

    @classmethod
    def from_snapshot(cls, snapshot: Snapshot) -> Machine:
        """Lay a snapshot out over page frames. LayoutError when its counts contradict each other."""
        return cls(snapshot)

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
        self.compacted_at: tuple[int, ...] = ()  # what was free when kcompactd had done its work
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
        self.hugetlbfs = hugetlbfs_inode.mounts(self)
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
        self.init = tasks.init(self)
        self.reaped: list[tuple[int, str]] = []  # the second of uptime, and what the OOM reaper says then
        self.growth = Growth()
        self.next_pid = self.cpu_stat.first_pid
        self.given_pids: list[int] | None = None  # see fork.give_pids()
        wmark_restore.restore(self, snapshot)
        self._protections_are_stale = True
        self.vfs = shrinker.loaded(self)

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
        """The CPU of whoever acts; else the one on which the node's work is done: its first, or the first."""
        if self.current.cpu is not None:
            return self.current.cpu
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

    def global_page_state(self, item: Item) -> int:
        """global_node_page_state(), global_zone_page_state(), an event, or a limit computed now."""
        item = item.stored
        if item.scope is Scope.EVENT:
            return self.event(item)
        if item.scope is Scope.LIMIT:
            return self._limit(item)
        return sum(node.page_state(item) for node in self.nodes)

    def _limit(self, item: Item) -> int:
        if item is Item.NR_DIRTY_THRESHOLD:
            return page_writeback.global_dirty_limits(self)[1]
        if item is Item.NR_DIRTY_BACKGROUND_THRESHOLD:
            return page_writeback.global_dirty_limits(self)[0]
        if item is Item.NR_MEMMAP_PAGES:
            return self.nr_memmap[0]
        return self.nr_memmap[1] if item is Item.NR_MEMMAP_BOOT_PAGES else 0

    # -- for the parts of the model ----------------------------------------------------------

    def count_event(self, item: Item, count: int) -> None:
        """count_vm_events(); events never fall."""
        self._events[COLUMN[item]] += count

    def alloc_pages(self, request: Request, task: Task | None = None) -> Parts:
        """alloc_pages(), with the OOM killer behind it as long as it finds a victim other than `task`."""
        return oom_kill.alloc_pages_may_oom(self, request, task)

    def alloc_in_turns(self, request: Request) -> Iterator[Parts]:
        """The same for pages that can be reclaimed as soon as they are in use."""
        return oom_kill.alloc_in_turns(self, request)

    def cache_alloc(self, name: str, count: int, nid: int) -> None:
        """Objects in a cache that this kernel may not have."""
        cache = self.slab_cache(name)
        if cache is not None and count > 0:
            slab.alloc(self, cache, count, nid)

    def cache_free(self, name: str, count: int) -> None:
        cache = self.slab_cache(name)
        if cache is not None and count > 0:
            slab.free(self, cache, count)

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

    # -- settings ----------------------------------------------------------------------------

    def set_sysctl(self, name: str, value: Any) -> None:
        """Store a tunable and do what the kernel does after the store."""
        self.set_attribute(self.sysctl, name, value)

    def set_attribute(self, holder: Any, name: str, value: Any) -> None:
        """The same for a setting of sysfs: `holder` is `thp`, `ksm`, …"""
        self._renew_protections()
        settings.store(self, holder, name, value)
        self.touch()

    def _renew_protections(self) -> None:
        """Before the first write to a kernel file.

        The handler of lowmem_reserve_ratio sets protections up on a read too, and whoever writes
        settings, or captured them, has read them; a view of ours must not change the machine.
        """
        if self._protections_are_stale:
            wmark.setup_per_zone_lowmem_reserve(self)
            self._protections_are_stale = False

    # -- verbs -------------------------------------------------------------------------------

    def drop_caches(self, bits: int) -> None:
        """fs/drop_caches.c: 1 page cache, 2 slab objects, 3 both; 4 only silences the log."""
        self._renew_protections()
        if bits & 1:
            filemap.drop_pagecache(self)
        if bits & 2:
            shrinker.drop_slab(self)
        self.touch()

    def compact_memory(self) -> None:
        """compact_nodes()"""
        for node in self.nodes:
            self.compact_node(node.nid)

    def compact_node(self, nid: int) -> None:
        """compact_node(): every zone, every page block."""
        self._renew_protections()
        for zone in self.node(nid).zones:
            if zone.populated:
                compaction.compact_zone(self, zone, whole=True)
        self.touch()

    def reclaim_node(self, nid: int, pages: int, swappiness: int | None = None) -> int:
        """Proactive reclaim of a node (7.2's nodeN/reclaim); returns the pages freed."""
        self._renew_protections()
        freed = vmscan.reclaim_node(self, self.node(nid), pages, swappiness)
        self.touch()
        return freed

    def set_nr_hugepages(self, hstate: Hstate, count: int, nid: int | None = None) -> None:
        self._renew_protections()
        hugetlb.set_max_huge_pages(self, hstate, count, nid)
        self.touch()

    def set_nr_overcommit_hugepages(self, hstate: Hstate, count: int) -> None:
        self._renew_protections()
        hstate.nr_overcommit_huge_pages = count
        self.touch()

    def demote_hugepages(self, hstate: Hstate, count: int, nid: int | None = None) -> None:
        self._renew_protections()
        hugetlb_demote.demote_pool_huge_page(self, hstate, count, nid)
        self.touch()

    def read_files(self, pages: int, files: int = 1, nid: int | None = None, name: str | None = None) -> None:
        """Files are read: page cache, dentries, inodes. Those of a `name` are the same every time."""
        if name is None:
            filemap.read(self, pages, files, self._nid(nid))
        else:
            file_set.read(self, name, pages, files, self._nid(nid))
        self.touch()

    def write_files(self, pages: int, files: int = 1, nid: int | None = None) -> None:
        """File data is written: dirty pages, then writeback above the background threshold."""
        filemap.write(self, pages, files, self._nid(nid))
        self.touch()

    def slab_alloc(self, cache: KmemCache, count: int) -> None:
        """Objects allocated in a cache, or freed where `count` is negative."""
        if count >= 0:
            slab.alloc(self, cache, count, self.default_nid)
        else:
            slab.free(self, cache, -count)
        self.touch()

    def fragment(self, keep: float, nid: int | None = None, zone: str | None = None) -> int:
        """Scatter pages until that share of the page blocks holds no free one; returns the blocks hit."""
        hit = fragmenting.fragment(self, keep, nid, zone)
        self.touch()
        return hit

    def start(self, name: str, *, oom_score_adj: int = 0, uid: int = 0, **memory: Any) -> Task:
        """A task that maps and touches memory, given as the fields of tasks.Memory.

        OutOfMemory when it may not or was the OOM killer's victim, NoHugePages when the pool is short.
        """
        self.topology += 1
        self.touch()
        return fork.start(self, name, Memory(**memory), oom_score_adj, uid)

    @contextmanager
    def acting(self, current: Current) -> Iterator[None]:
        """What happens meanwhile is done by that process."""
        before, self.current = self.current, current
        try:
            yield
        finally:
            self.current = before

    def set_oom_score_adj(self, task: Task, value: int) -> None:
        """PermissionError when the caller may not go as low."""
        oom_kill.set_oom_adj(self, task, value)
        self.touch()

    def stop(self, task: Task) -> None:
        """The task exits; its memory is freed."""
        exit_task(self, task)
        self.topology += 1
        self.touch()

    def swapon(self, pages: int, name: str, kind: str = "partition", priority: int | None = None) -> SwapArea:
        """`pages` with the header page, as the device has. ValueError when the name is in use."""
        area = swapfile.swapon(self, pages, name, kind, priority)
        self.touch()
        return area

    def swapoff(self, name: str) -> None:
        """Everything in the area comes back to memory; OutOfMemory when it does not fit."""
        swapoff.swapoff(self, name)
        self.touch()

    def oom(self) -> Task | None:
        """sysrq-f: kill the worst task; None when there is none to kill."""
        self.topology += 1
        self.touch()
        return oom_kill.moom_callback(self)

    def tick(self, seconds: float) -> None:
        """The only way time passes. How it is cut makes no difference: 0.3 and 0.7 are 1."""
        if not self.panicked:
            timer.run_until(self, self.clock.after(seconds))
            self.psi.advance(self.clock.microsecs)

    def _nid(self, nid: int | None) -> int:
        if nid is not None and nid not in self._node_by_nid:
            raise KeyError(f"no node {nid}")
        return self.default_nid if nid is None else nid

    def close_all(self) -> None:
        """Nobody has a file of this machine open: what open files kept is given up."""
        self.psi.triggers.clear()
        for mount in self.hugetlbfs:
            mount.close_all(self)

    # -- saving ------------------------------------------------------------------------------

    def save(self) -> bytes:
        """The whole state, to continue later: the same calls then give the same bytes."""
        return state.dump(self)
