"""The machine: every verb that changes its state. No text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vmfs.mm import (
    compaction,
    drop_caches,
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
from vmfs.mm.current import Current
from vmfs.mm.exit import exit_task
from vmfs.mm.hugetlb import Hstate
from vmfs.mm.machine_state import MachineState
from vmfs.mm.slab import KmemCache
from vmfs.mm.snapshot import Snapshot
from vmfs.mm.swapfile import SwapArea
from vmfs.mm.tasks import Memory, Task
from vmfs.mm.vmstat import Item, Scope


class Machine(MachineState):
    """A machine made of counts; see `from_snapshot`. All sizes in pages."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__(snapshot)
        self.hugetlbfs = hugetlbfs_inode.mounts(self)
        self.init = tasks.init(self)
        wmark_restore.restore(self, snapshot)
        self.vfs = shrinker.loaded(self)

    @classmethod
    def from_snapshot(cls, snapshot: Snapshot) -> Machine:
        """Lay a snapshot out over page frames. LayoutError when its counts contradict each other."""
        return cls(snapshot)

    # -- reading -----------------------------------------------------------------------------

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
        """Before the first write to a kernel file that is not refused.

        A simplification: the handler of lowmem_reserve_ratio does it on every read. Whoever writes settings,
        or captured them, has read that file; a view of ours must not change the machine.
        """
        if self._protections_are_stale:
            wmark.setup_per_zone_lowmem_reserve(self)
            self._protections_are_stale = False

    # -- verbs -------------------------------------------------------------------------------

    def drop_caches(self, bits: int) -> None:
        """1 page cache, 2 slab objects, 3 both; 4 only silences the log."""
        self._renew_protections()
        drop_caches.drop_caches(self, bits)
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
