"""The multi-generational LRU: what /sys/kernel/mm/lru_gen sets (mm/vmscan.c)."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import IntFlag
from typing import TYPE_CHECKING

from vmfs.kernel import Feature, Kernel
from vmfs.mm import lru, swapfile, wmark
from vmfs.mm.ctrl_pos import MIN_LRU_BATCH, MIN_NR_GENS
from vmfs.mm.generations import Generations
from vmfs.mm.lru import Lru
from vmfs.mm.mmzone import Node, Zone
from vmfs.mm.scan_control import DEF_PRIORITY, MAX_SWAPPINESS, ScanControl
from vmfs.mm.snapshot import Snapshot
from vmfs.mm.vmstat import Item

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine


FILES = (Lru.INACTIVE_FILE, Lru.ACTIVE_FILE)
EVICTABLE = tuple(which for which in Lru if which is not Lru.UNEVICTABLE)


class LruGenCap(IntFlag):
    CORE = 1
    MM_WALK = 2
    NONLEAF_YOUNG = 4


@dataclass(slots=True, eq=False)
class LruGen:
    enabled: int  # of LruGenCap, what the hardware can do
    min_ttl_ms: int = 0

    @classmethod
    def of(cls, snapshot: Snapshot) -> LruGen:
        """CONFIG_LRU_GEN_ENABLED as the distributions have it."""
        return cls(capabilities(snapshot.kernel) if snapshot.kernel.has(Feature.LRU_GEN_ON) else 0)


def capabilities(kernel: Kernel) -> int:
    """The bits that stick: 2-level page tables have no accessed bit above the leaves."""
    leaf = LruGenCap.CORE | LruGenCap.MM_WALK
    return int(leaf | LruGenCap.NONLEAF_YOUNG if kernel.has(Feature.NONLEAF_PMD_YOUNG) else leaf)


def scans(machine: Machine, control: ScanControl) -> bool:
    """lru_gen_shrink_node(): whether anything is done for whom; with the other lists always.

    Pages that need neither unmapping nor writing go first in any case: who wants only those ends at once.
    """
    if not machine.lru_gen.enabled or machine.kernel.has(Feature.LRU_GEN_SCANS_FOR_ALL):
        return True
    return control.may_unmap and control.may_writepage


def initial_priority(machine: Machine, node: Node, nr_to_reclaim: int) -> int:
    """set_initial_priority(): where one round would free as much as is wanted, but no lower than half."""
    reclaimable = node.page_state(Item.NR_INACTIVE_FILE)
    if swapfile.nr_swap_pages(machine):
        reclaimable += node.page_state(Item.NR_INACTIVE_ANON)
    priority = reclaimable.bit_length() - 1 - (nr_to_reclaim - 1).bit_length()
    return min(max(priority, DEF_PRIORITY // 2), DEF_PRIORITY)


def evictable_pages(machine: Machine, node: Node) -> int:
    """lruvec_evictable_size()"""
    kinds = [Lru.INACTIVE_FILE, Lru.ACTIVE_FILE]
    if swapfile.nr_swap_pages(machine) and machine.sysctl.swappiness:
        kinds += [Lru.INACTIVE_ANON, Lru.ACTIVE_ANON]
    return sum(lru.node_lru_size(node, which) for which in kinds)


def nr_to_scan(machine: Machine, evictable: int, priority: int) -> int:
    """get_nr_to_scan(): a part of so many pages; before 7.2 of those left after each batch, and a batch."""
    if machine.kernel.has(Feature.LRU_GEN_BUDGET_AT_START):
        return evictable >> priority
    part = evictable // ((1 << priority) + 1)
    return max(part, MIN_LRU_BATCH) if part else 0


def pages_to_abort(zones: list[Zone], control: ScanControl) -> int:
    """should_abort_scan(): how many pages kswapd frees until all zones are safe, not one as pgdat_balanced().

    One that has too few of the pages that go never is, as ZONE_DMA behind its protection, or where all files
    are in another zone.
    """
    going = FILES if control.trim_cache else EVICTABLE
    missing = 0
    for zone in zones:
        mark = wmark.high_wmark_pages(zone) + MIN_LRU_BATCH + zone.lowmem_reserve[control.highest_zoneidx]
        short = max(mark + 1 - zone.free_pages, 0)
        if short > sum(lru.lru_size(zone, which) for which in going):
            return sys.maxsize
        missing += short
    return missing


def types_to_scan(machine: Machine, node: Node, control: ScanControl) -> tuple[bool, ...]:
    """isolate_folios(): which kind goes first, True for anonymous pages."""
    swappiness = machine.sysctl.swappiness
    if not control.may_swap or not swapfile.nr_swap_pages(machine) or not swappiness:
        return (False,)
    if swappiness in (1, MAX_SWAPPINESS):
        anon = swappiness == MAX_SWAPPINESS
    else:
        anon = not node.generations.tiers.takes_files(swappiness, MAX_SWAPPINESS)
    return anon, not anon


def in_oldest_generation(node: Node) -> bool:
    """scan_folios(): whether there are anonymous pages to look at.

    They start in the youngest generations, files in the oldest: as long as some are there nothing ages,
    and anonymous pages that have not aged before are not among the oldest.
    """
    return lru.node_lru_size(node, Lru.INACTIVE_ANON) > 0 or not lru.node_lru_size(node, Lru.INACTIVE_FILE)


def age(machine: Machine, node: Node) -> bool:
    """try_to_inc_max_seq() where should_run_aging(): whether a generation was begun.

    The two youngest are active, and anonymous pages start in the youngest. None is used meanwhile.
    """
    if not swapfile.nr_swap_pages(machine) or not machine.sysctl.swappiness:
        return False
    inactive, active, files = (
        lru.node_lru_size(node, which) for which in (Lru.INACTIVE_ANON, Lru.ACTIVE_ANON, Lru.INACTIVE_FILE)
    )
    gens = node.generations
    gens.older_anon = min(gens.older_anon, active)
    if not _should_run_aging(machine, gens, active, inactive, files):
        return False
    if machine.kernel.has(Feature.LRU_GEN_WALK_PROMOTES_FAULTED):
        gens.promoted += gens.older_anon
    _deactivate(node, gens.older_anon)
    gens.begin(active - gens.older_anon, inactive, files)
    return True


def sort_folios(node: Node) -> None:
    """sort_folio(), once the list is reached of what a walk over page tables promoted: all of it moves."""
    gens = node.generations
    if gens.promoted and lru.node_lru_size(node, Lru.INACTIVE_ANON) <= gens.promoted:
        node.mod_state(Item.PGREFILL, gens.promoted)
        gens.promoted = 0


def _should_run_aging(machine: Machine, gens: Generations, active: int, inactive: int, files: int) -> bool:
    """should_run_aging(): when none but the two youngest have pages, or (since 6.14) the one before them.

    Earlier, when hardly any but the youngest has.
    """
    oldest = gens.oldest_age(inactive, files)
    if oldest < MIN_NR_GENS:
        return active > 0
    if oldest > MIN_NR_GENS or not machine.kernel.has(Feature.LRU_GEN_AGES_BY_SIZE):
        return oldest == MIN_NR_GENS
    young, total = active - gens.older_anon, active + inactive + files
    return young * MIN_NR_GENS > total or (inactive + files) * (MIN_NR_GENS + 2) < total


def swapin_list(machine: Machine, node: Node) -> Lru:
    """lru_gen_add_folio(): what comes back from swap is as old as the oldest there are."""
    old = not machine.lru_gen.enabled or node.page_state(Item.NR_INACTIVE_ANON) > 0
    return Lru.INACTIVE_ANON if old else Lru.ACTIVE_ANON


def _deactivate(node: Node, pages: int) -> None:
    """So many of the active pages, the oldest first, from all zones in proportion."""
    for zone, share in lru.shares(list(node.zones), Lru.ACTIVE_ANON, pages):
        for batch in lru.take(node, zone, Lru.ACTIVE_ANON, share):
            batch.accessed = False  # walk_mm() found them used once, as they were mapped
            lru.add(node, zone, Lru.INACTIVE_ANON, batch)
