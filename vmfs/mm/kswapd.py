"""kswapd, which reclaims in the background (mm/vmscan.c).

A run happens at once: there is no time between a wake-up and its end. But work takes time, which psi
charges, and a kswapd that has taken on more than it can have done by now leaves the rest to whoever
allocates.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from vmfs.mm import compaction, kcompactd, lru, lru_gen, psi, shrink_list, vmscan, wmark
from vmfs.mm.balance_pgdat import balance_pgdat, missing_pages, nr_to_reclaim, pgdat_balanced
from vmfs.mm.lru import Lru
from vmfs.mm.mmzone import Node, Zone
from vmfs.mm.scan_control import MAX_RECLAIM_RETRIES, SWAP_CLUSTER_MAX, Reclaim, ScanControl
from vmfs.mm.vmstat import Item

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

MOST_RUNS = 16
MOST_ROUNDS = 64  # of compact_gap(), so that much memory does not take long
REST, LRU_GEN_REST, IN_CACHE = 2, 3, 8  # parts of a round, see finish_rounds()
SWAPPED_PER_FILE = 0.28  # in the same time, which is what recorded machines of two to four nodes agree with
TOUCH_NANOSECS = 8_000  # until a task takes the next page, which is what recorded machines agree with
DIRECT_NANOSECS = 8 * (psi.RECLAIM_NANOSECS + psi.DISK_NANOSECS)  # a page of eight, see _late()
NEXT_PAGES = 512  # what a program that starts takes
SHORT_SLEEP_MICROSECS = 100_000  # after which it sleeps for good


def compact_gap(nodes: Iterable[Node], highest_zoneidx: int, order: int) -> int:
    """What kswapd reclaims for a block of `order` at a time, where there is enough but in pieces.

    kswapd_shrink_node(): then it leaves the rest to compaction. Where single pages are missing as well, it
    goes on until they are there.
    """
    if order <= compaction.COSTLY_ORDER or not all(pgdat_balanced(node, highest_zoneidx) for node in nodes):
        return sys.maxsize
    cache = sum(lru.lru_size(z, which) for node in nodes for z in node.zones for which in Lru)
    return max(compaction.compact_gap(order), cache // MOST_ROUNDS)


def wakeup_kswapds(
    machine: Machine, nodes: Iterable[Node], highest_zoneidx: int, want: int, order: int
) -> None:
    """wake_all_kswapds() for an allocation of `want` pages, in blocks of `order`, from any of the nodes.

    One that lags behind has not got to it yet. What those cannot have done by the time that who woke them
    has used up what is left below the low watermark, is done by whom they keep waiting.
    """
    if psi.kswapd_lags(machine):
        return
    awake = [node for node in nodes if node.kswapd_failures < MAX_RECLAIM_RETRIES]
    before = machine.psi.owes(psi.KSWAPD)
    _wakeup_side_by_side(machine, awake, highest_zoneidx, want, order)
    late = _late(machine, machine.psi.owes(psi.KSWAPD) - before, len(awake))
    if want and late > 0 and not machine.current.is_paced:
        _reclaim_meanwhile(machine, awake, highest_zoneidx, late // DIRECT_NANOSECS)


def _late(machine: Machine, took: int, awake: int) -> int:
    """How long who allocates reclaims beside those that `took` so long together: he frees an eighth of it.

    They share the work, and he gets on with what the first has freed.
    """
    return took // max(awake, 1) ** 2 - _reserve(machine) * TOUCH_NANOSECS


def _reserve(machine: Machine) -> int:
    """Pages from where kswapd is woken down to where an allocation has to reclaim."""
    zones = (zone for _, zone in machine.zones() if zone.managed_pages)
    return sum(wmark.low_wmark_pages(zone) - wmark.min_wmark_pages(zone) for zone in zones)


def _reclaim_meanwhile(machine: Machine, nodes: Iterable[Node], highest_zoneidx: int, want: int) -> None:
    """Direct reclaim by who finds no page above `min` before kswapd, which runs by now, has freed some."""
    zones = [zone for node in nodes for zone in node.zones]
    zones = [zone for zone in zones if zone.managed_pages and zone.index <= highest_zoneidx]
    vmscan.try_to_free_pages(machine, zones, highest_zoneidx, want)


def _wakeup_side_by_side(
    machine: Machine, awake: list[Node], highest_zoneidx: int, want: int, order: int
) -> None:
    """Where files go first, the page cache of all goes before anything of one is swapped out."""
    control = ScanControl(highest_zoneidx, kswapd=True)
    trim = replace(control, trim_cache=True)
    in_rounds = bool(machine.lru_gen.enabled) and not order  # who needs more than one frees wakes it again
    if in_rounds and _run_side_by_side(machine, awake, trim, order):
        return
    for node in awake:
        if want > 0:
            missing = missing_pages(node.zones, highest_zoneidx)
            want -= max(vmscan.shrink_node(machine, node, trim, want + missing) - missing, 0)
    want = 0 if in_rounds else want
    for node in awake:
        wakeup_kswapd(machine, node, highest_zoneidx, -(-max(want, 0) // len(awake)), order)


def _run_side_by_side(machine: Machine, nodes: list[Node], trim: ScanControl, order: int) -> bool:
    """With lru_gen: each for itself, those that have files free them. Whether any has.

    Where a node goes on freeing when there is enough, the others write to swap in the time that takes.
    """
    long = any(_trims_for_long(node, trim) for node in nodes)
    freed = {node: _trim_generations(machine, node, trim) for node in nodes}
    most = round(sum(freed.values()) * SWAPPED_PER_FILE)
    if not most:
        return False
    control = replace(trim, trim_cache=False)
    for node in [node for node, pages in freed.items() if not pages]:
        if not long:
            wakeup_kswapd(machine, node, trim.highest_zoneidx, 0, order)
        elif not pgdat_balanced(node, trim.highest_zoneidx):
            vmscan.shrink_node(machine, node, control, most)  # of a run that goes on
    return True


def _trims_for_long(node: Node, control: ScanControl) -> bool:
    """Whether files go in rounds that go on when there is enough, faster than others can write to swap."""
    zones = [zone for zone in node.zones if zone.managed_pages]
    files = any(lru.lru_size(zone, which) for zone in zones for which in lru_gen.FILES)
    return files and lru_gen.pages_to_abort(zones, control) == sys.maxsize


def _trim_generations(machine: Machine, node: Node, control: ScanControl) -> int:
    """Rounds over files alone until the node is balanced; the pages freed."""
    boosts = _boosts(node)
    progress = balance_pgdat(machine, node, control)
    if progress:
        _count_run(machine, node)
        _try_to_sleep(machine, node, control.highest_zoneidx)
        _take_boosts_back(machine, node, boosts, control.highest_zoneidx)
    return progress


def _boosts(node: Node) -> dict[Zone, int]:
    return {zone: zone.watermark_boost for zone in node.zones if zone.watermark_boost}


def _take_boosts_back(
    machine: Machine, node: Node, boosts: dict[Zone, int], highest_zoneidx: int, order: int = 0
) -> None:
    """Where balance_pgdat() ends: kcompactd goes on with what was freed, after a boost or for an `order`."""
    for zone, boost in boosts.items():
        zone.watermark_boost -= min(zone.watermark_boost, boost)
    order = machine.kernel.pageblock_order if boosts else order
    kcompactd.wakeup_kcompactd(machine, node, order, highest_zoneidx)


def wakeup_kswapd(machine: Machine, node: Node, highest_zoneidx: int, want: int = 0, order: int = 0) -> None:
    """Run the node's kswapd until it is balanced or finds nothing.

    `want` is what the waker will take next: kswapd, which runs beside it, would have freed that
    much in the meantime. For a larger `order`, or after a boost, kcompactd goes on with what was freed.
    """
    boosts = _boosts(node)
    balanced = not want and pgdat_balanced(node, highest_zoneidx)
    if node.kswapd_failures >= MAX_RECLAIM_RETRIES or (balanced and not boosts):
        return
    control = ScanControl(highest_zoneidx, kswapd=True)
    if balanced:
        _count_run(machine, node)
        boosted = replace(control, may_swap=False, may_writepage=False)
        vmscan.shrink_node(machine, node, boosted, sum(boosts.values()))
        _try_to_sleep(machine, node, highest_zoneidx)
    else:
        _run(machine, node, control, want)
    _take_boosts_back(machine, node, boosts, highest_zoneidx, order)


def _run(machine: Machine, node: Node, control: ScanControl, want: int) -> None:
    """kswapd(): as it is not balanced, it runs again at once, until it may sleep or has run in vain.

    What it has not done after some runs is left to the next wake-up.
    """
    for _ in range(MOST_RUNS):
        _count_run(machine, node)
        progress = balance_pgdat(machine, node, control, want)
        node.kswapd_failures = 0 if progress else node.kswapd_failures + 1
        if _try_to_sleep(machine, node, control.highest_zoneidx) or not progress:
            return
        want = max(want - progress, 0)


def _count_run(machine: Machine, node: Node) -> None:
    """balance_pgdat() begins; who woke it may not have let it sleep for long."""
    machine.count_event(Item.PAGEOUTRUN, 1)
    slept = node.kswapd_slept_microsecs
    if slept is not None and machine.clock.microsecs - slept < SHORT_SLEEP_MICROSECS:
        machine.count_event(Item.KSWAPD_LOW_WMARK_HIT_QUICKLY, 1)


def _try_to_sleep(machine: Machine, node: Node, highest_zoneidx: int) -> bool:
    """kswapd_try_to_sleep(): it may when the node is balanced or it has given up."""
    hopeless = node.kswapd_failures >= MAX_RECLAIM_RETRIES
    if hopeless or pgdat_balanced(node, highest_zoneidx):
        node.kswapd_slept_microsecs = machine.clock.microsecs
        return True
    node.kswapd_slept_microsecs = None
    machine.count_event(Item.KSWAPD_HIGH_WMARK_HIT_QUICKLY, 1)
    return False


def finish_rounds(machine: Machine, pages: int) -> None:
    """What those do who are awake when an allocation of so many pages is over.

    A long row of allocations keeps kswapd at work, in rounds that free as much at once as is to be free. The
    last may have begun just now or be nearly done: half of it is left; with lru_gen, which stops where enough
    is free but for what was being written, a third. It frees what the one before wrote to swap, and writes
    for the next, of which recorded kernels have an eighth in the swap cache in the end.
    """
    for node in machine.nodes:
        zones = [zone for zone in node.zones if zone.managed_pages]
        most = nr_to_reclaim(zones)
        rest = most // (LRU_GEN_REST if machine.lru_gen.enabled else REST)
        left = most + rest - sum(zone.free_pages for zone in zones)
        if _is_awake(machine, node) and pages >= most:
            reclaim = Reclaim(machine, node, ScanControl(machine.zone_index("Movable"), kswapd=True))
            vmscan.shrink_node(machine, node, reclaim.control, max(left, 0))
            shrink_list.shrink_inactive_list(reclaim, Lru.INACTIVE_ANON, most // IN_CACHE, SWAP_CLUSTER_MAX)


def _is_awake(machine: Machine, node: Node) -> bool:
    """Whether it would not have slept for long if things took time."""
    slept = node.kswapd_slept_microsecs
    awake = slept is None or slept == machine.clock.microsecs
    return awake and node.kswapd_failures < MAX_RECLAIM_RETRIES


def wakeup_all_kswapds(machine: Machine, pages: int = NEXT_PAGES) -> None:
    """What the next allocations, of so many pages, would do after watermarks have moved.

    The first finds kswapd asleep, and reclaims for itself where all zones are below `min`.
    """
    for highest in _highest_zones(machine):
        behind = _behind(machine, highest, pages)
        if pages and behind and not _has_page(machine, highest):
            _reclaim_meanwhile(machine, behind, highest, SWAP_CLUSTER_MAX)
        for node in behind:
            wakeup_kswapd(machine, node, highest)


def _has_page(machine: Machine, highest_zoneidx: int) -> bool:
    zones = (zone for _, zone in machine.zones() if zone.managed_pages and zone.index <= highest_zoneidx)
    return any(wmark.has_page(zone, highest_zoneidx) for zone in zones)


def _highest_zones(machine: Machine) -> list[int]:
    """Of those who allocate: users, and where some zone is beyond its reach the kernel itself."""
    kernel, users = machine.zone_index("Normal"), machine.zone_index("Movable")
    beyond = any(zone.managed_pages and zone.index > kernel for _, zone in machine.zones())
    return [users, kernel] if beyond else [users]


def _behind(machine: Machine, highest: int, pages: int = 0) -> list[Node]:
    """Nodes whose kswapd has work up to zone `highest`, and has not given up.

    None, while allocations of so many pages find zones above their low watermarks, on whatever node: only
    one that fails everywhere wakes them.
    """
    zones = [zone for _, zone in machine.zones() if zone.managed_pages and zone.index <= highest]
    room = (z.free_pages - wmark.low_wmark_pages(z) - z.lowmem_reserve[highest] for z in zones)
    if sum(max(each, 0) for each in room) > pages:
        return []
    nodes = (node for node in machine.nodes if node.kswapd_failures < MAX_RECLAIM_RETRIES)
    return [node for node in nodes if not pgdat_balanced(node, highest)]


def kswapd_is_behind(machine: Machine) -> bool:
    """Whether a kswapd has work: then it tries again every second."""
    return any(_behind(machine, highest) for highest in _highest_zones(machine))


def recheck(machine: Machine) -> None:
    """kswapd(), awake without anybody's call."""
    if not psi.kswapd_lags(machine):
        wakeup_all_kswapds(machine, 0)
    machine.touch()
