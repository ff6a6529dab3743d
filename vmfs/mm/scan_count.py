"""How much of each list is scanned, anonymous pages against files (mm/vmscan.c: get_scan_count())."""

from __future__ import annotations

import math
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

from vmfs.kernel import Feature
from vmfs.mm import lru, swapfile, wmark
from vmfs.mm.lru import Lru
from vmfs.mm.mmzone import PAGE_SHIFT, Node
from vmfs.mm.scan_control import DEF_PRIORITY, MAX_SWAPPINESS, SWAP_CLUSTER_MAX, Reclaim
from vmfs.mm.vmstat import Item

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

EARLIER_ROUNDS = 3
ITEMS = {
    Lru.INACTIVE_ANON: Item.NR_INACTIVE_ANON,
    Lru.ACTIVE_ANON: Item.NR_ACTIVE_ANON,
    Lru.INACTIVE_FILE: Item.NR_INACTIVE_FILE,
    Lru.ACTIVE_FILE: Item.NR_ACTIVE_FILE,
}
"""The lists that can be reclaimed, and where a node counts them."""


class ScanBalance(Enum):
    """enum scan_balance"""

    EQUAL = auto()
    FRACT = auto()
    ANON = auto()
    FILE = auto()


class Scan(NamedTuple):
    """What one round scans: pages of each list, and of which kind active ones are deactivated."""

    priority: int
    balance: ScanBalance
    pages: dict[Lru, int]
    deactivate: dict[bool, bool]  # by "of files"


def is_file(which: Lru) -> bool:
    """is_file_lru()"""
    return which in (Lru.INACTIVE_FILE, Lru.ACTIVE_FILE)


def get_scan_count(reclaim: Reclaim, priority: int) -> Scan:
    """prepare_scan_control() and get_scan_count(): of each list its size >> `priority`, in proportion."""
    deactivate = {file: _may_deactivate(reclaim.node, file) for file in (False, True)}
    balance = _scan_balance(reclaim, priority, deactivate)
    part, whole = {False: 1, True: 1}, 1
    if balance is ScanBalance.FRACT:
        part, whole = _fractions(reclaim.machine, reclaim.node)
    elif balance is not ScanBalance.EQUAL:
        part[balance is ScanBalance.ANON] = 0
    sizes = {which: sum(lru.lru_size(zone, which) for zone in reclaim.zones) for which in ITEMS}
    pages = {which: (size >> priority) * part[is_file(which)] // whole for which, size in sizes.items()}
    return Scan(priority, balance, pages, deactivate)


def _scan_balance(reclaim: Reclaim, priority: int, deactivate: dict[bool, bool]) -> ScanBalance:
    if not reclaim.control.may_swap or not swapfile.nr_swap_pages(reclaim.machine):
        return ScanBalance.FILE
    if not priority and reclaim.machine.sysctl.swappiness:
        return ScanBalance.EQUAL  # close to an OOM
    if _file_is_tiny(reclaim, priority, deactivate):
        return ScanBalance.ANON
    if reclaim.node.page_state(Item.NR_INACTIVE_FILE) >> priority and not deactivate[True]:
        return ScanBalance.FILE  # cache_trim_mode
    return ScanBalance.FRACT


def _file_is_tiny(reclaim: Reclaim, priority: int, deactivate: dict[bool, bool]) -> bool:
    """Too few pages of files are left to keep the node above its watermarks, and anonymous ones are there."""
    node = reclaim.node
    file = node.page_state(Item.NR_ACTIVE_FILE) + node.page_state(Item.NR_INACTIVE_FILE)
    high = sum(wmark.high_wmark_pages(zone) for zone in node.zones if zone.managed_pages)
    anon = node.page_state(Item.NR_INACTIVE_ANON)
    least = sum(wmark.min_wmark_pages(zone) for zone in node.zones if zone.managed_pages)
    # Who woke kswapd does not wait for it: meanwhile free memory falls, though not below `min`.
    free = max(node.free_pages - reclaim.ahead, min(node.free_pages, least))
    return file + free <= high and not deactivate[False] and bool(anon >> priority)


def _fractions(machine: Machine, node: Node) -> tuple[dict[bool, int], int]:
    """The parts that go to anonymous pages and to files, and the whole: swappiness over what each cost."""
    total = node.anon_cost + node.file_cost
    anon_cost, file_cost = total + node.anon_cost, total + node.file_cost
    total = anon_cost + file_cost
    swappiness = machine.sysctl.swappiness
    anon = swappiness * (total + 1) // (anon_cost + 1)
    file = (MAX_SWAPPINESS - swappiness) * (total + 1) // (file_cost + 1)
    return {False: anon, True: file}, anon + file


def _may_deactivate(node: Node, file: bool) -> bool:
    """Pages came back lately that had to be activated, or too few are inactive."""
    return _activations(node)[file] != node.refaults[file] or inactive_is_low(node, file)


def _activations(node: Node) -> tuple[int, int]:
    """Refaults that were activated so far, anonymous pages and files."""
    return node.page_state(Item.WORKINGSET_ACTIVATE_ANON), node.page_state(Item.WORKINGSET_ACTIVATE_FILE)


def snapshot_refaults(node: Node) -> None:
    """Reclaim ends: what is activated from now on tells the next one that pages are missed."""
    node.refaults = _activations(node)


def inactive_is_low(node: Node, file: bool) -> bool:
    """Whether active pages are to be deactivated: the larger the memory, the fewer need be inactive."""
    active_list, inactive_list = (
        (Lru.ACTIVE_FILE, Lru.INACTIVE_FILE) if file else (Lru.ACTIVE_ANON, Lru.INACTIVE_ANON)
    )
    active, inactive = node.page_state(ITEMS[active_list]), node.page_state(ITEMS[inactive_list])
    gibibytes = (active + inactive) >> (30 - PAGE_SHIFT)
    ratio = math.isqrt(10 * gibibytes) if gibibytes else 1
    return inactive * ratio < active


def first_priority(reclaim: Reclaim, target: int) -> int:
    """Where rounds begin: some before the one that scans as much as is wanted.

    The kernel's begin at DEF_PRIORITY; what those before free is little.
    """
    listed = sum(lru.lru_size(zone, which) for zone in reclaim.zones for which in ITEMS)
    enough = (listed // max(target, SWAP_CLUSTER_MAX)).bit_length() - 1
    return min(max(enough, 0) + EARLIER_ROUNDS, DEF_PRIORITY)


def lru_note_cost(machine: Machine, node: Node, file: bool, nr_io: int, nr_rotated: int = 0) -> None:
    """What reclaim of a kind has cost: reads and writes, and pages that were looked at in vain.

    Older costs weigh less: together they are at most a quarter of the lists.
    """
    rotations = machine.kernel.has(Feature.RECLAIM_COST_ROTATIONS)
    cost = nr_io * SWAP_CLUSTER_MAX + nr_rotated if rotations else nr_io
    most = max(sum(map(node.page_state, ITEMS.values())) // 4, 2)
    while cost > 0:  # as many calls of the kernel's, between each two of which costs may be halved
        step = min(cost, most // 2)
        node.anon_cost, node.file_cost = node.anon_cost + step * (not file), node.file_cost + step * file
        if node.anon_cost + node.file_cost > most:
            node.anon_cost, node.file_cost = node.anon_cost // 2, node.file_cost // 2
        cost -= step
