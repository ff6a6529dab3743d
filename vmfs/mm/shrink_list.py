"""What happens to the pages of one list: deactivated, reclaimed, kept (mm/vmscan.c: shrink_list()).

Pages on a list are taken in their order, but for those that rmap.py finds referenced.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from vmfs.mm import filemap, lru, page_free, psi, rmap, scan_count, swap_state, swapfile, workingset
from vmfs.mm.charge import uncharge
from vmfs.mm.extents import Extents
from vmfs.mm.lru import Batch, Lru, Use
from vmfs.mm.mmzone import KBYTES_PER_PAGE, Node, Zone
from vmfs.mm.scan_control import Reclaim, ScanControl
from vmfs.mm.vmstat import Item

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

SWAPPED = (Use.ANON, Use.SHMEM, Use.UNKNOWN)  # what has no file to be written to
ON_DISK = (Use.FILE, Use.BUFFERS)


def shrink_active_list(reclaim: Reclaim, which: Lru, pages: int) -> None:
    """Up to `pages` active pages become inactive ones, the oldest of all zones."""
    inactive = Lru.INACTIVE_FILE if scan_count.is_file(which) else Lru.INACTIVE_ANON
    done = 0
    for zone, share in lru.shares(reclaim.zones, which, pages):
        for batch in lru.take(reclaim.node, zone, which, share):
            rmap.clear_accessed(reclaim.machine, batch)
            batch.workingset = True
            lru.add(reclaim.node, zone, inactive, batch)
            done += batch.pages
    reclaim.machine.count_event(Item.PGDEACTIVATE, done)
    reclaim.node.mod_state(Item.PGREFILL, done)
    reclaim.deactivated += done


def shrink_inactive_list(reclaim: Reclaim, which: Lru, pages: int, most: int) -> None:
    """Look at `pages` pages of an inactive list, of all zones in proportion, until `most` are freed.

    What is written to swap is freed when it is looked at again, as the next one.
    """
    shares = lru.shares(reclaim.zones, which, pages)
    total, left = sum(share for _, share in shares), most
    for zone, share in shares:
        limit = min(-(-most * share // total), left)
        if limit > 0:
            left -= _shrink_zone_list(reclaim, zone, which, share, limit)


def _shrink_zone_list(reclaim: Reclaim, zone: Zone, which: Lru, pages: int, most: int) -> int:
    """Returns the pages freed."""
    machine, node, file = reclaim.machine, reclaim.node, scan_count.is_file(which)
    gone, written, kept = _isolate(reclaim, zone, which, pages, most)
    nr_pageout = sum(batch.pages for batch in (*gone, *written) if batch.use in SWAPPED)
    for batch in (*gone, *written):
        if batch.use in SWAPPED:
            _swap_out(machine, node, batch)
    if not swapfile.nr_swap_pages(machine):  # nobody will look again: the lists are not scanned without slots
        gone, written = [*gone, *written], []
    _stall(machine, reclaim.control, gone, nr_pageout)
    for batch in gone:
        _reclaim_batch(machine, node, zone, batch)
    page_free.free_pages(machine, zone, Extents.concat([batch.extents for batch in gone]), reclaim=True)
    for batch in reversed(written):
        swap_state.add_to_swap(machine, node, zone, batch)
    freed, in_cache = (sum(batch.pages for batch in batches) for batches in (gone, written))
    _count_scanned(reclaim, file, freed + nr_pageout + kept)
    node.mod_state(reclaim.control.reclaimer[1], freed)
    node.mod_state(Item.PGSTEAL_FILE if file else Item.PGSTEAL_ANON, freed)
    scan_count.lru_note_cost(machine, node, file, nr_pageout, nr_pageout + kept)  # freed was none of them
    reclaim.freed += freed
    reclaim.written += in_cache
    return freed


def _count_scanned(reclaim: Reclaim, file: bool, pages: int) -> None:
    reclaim.scanned += pages
    reclaim.node.mod_state(reclaim.control.reclaimer[0], pages)
    reclaim.node.mod_state(Item.PGSCAN_FILE if file else Item.PGSCAN_ANON, pages)


def _isolate(
    reclaim: Reclaim, zone: Zone, which: Lru, pages: int, most: int
) -> tuple[list[Batch], list[Batch], int]:
    """Of the next `pages` pages, off the list: up to `most` to be freed, those to be written, and how many
    were kept as they are in use.
    """
    gone: list[Batch] = []
    written: list[Batch] = []
    kept, slots = 0, swapfile.nr_swap_pages(reclaim.machine)
    found: deque[Batch] = deque()
    while most > 0:
        if not found:  # no more than can go, so that few have to be put back
            found.extend(_next(reclaim, zone, which, min(pages, most)))
            pages -= min(pages, most)
        if not found:
            break
        batch = found.popleft()
        stays, gone_on = _put_back(reclaim, zone, which, batch, slots)
        kept += stays
        if not gone_on:
            continue
        head = lru.split(batch, _room(batch, most, slots))
        if head is not batch:
            found.appendleft(batch)
        (written if batch.use is Use.ANON else gone).append(head)
        slots -= head.pages if batch.use in SWAPPED else 0
        most -= head.pages if batch.use is not Use.ANON else 0
    for batch in reversed(found):  # their turn has not come
        lru.add_tail(reclaim.node, zone, which, batch)
    return gone, written, kept


def _next(reclaim: Reclaim, zone: Zone, which: Lru, pages: int) -> list[Batch]:
    control = reclaim.control
    return lru.take(reclaim.node, zone, which, pages, mapped=control.may_unmap, dirty=control.may_writepage)


def _put_back(reclaim: Reclaim, zone: Zone, which: Lru, batch: Batch, slots: int) -> tuple[int, bool]:
    """What is in use, and what has no place in swap, stays: so many pages, and whether others are left."""
    machine, node, all_pages = reclaim.machine, reclaim.node, batch.pages
    used = rmap.folio_referenced(machine, batch)
    if used:
        _keep(machine, node, zone, which, lru.split(batch, used))
    if used == all_pages:
        return used, False
    if batch.use in SWAPPED and not slots:  # add_to_swap() fails
        lru.add(node, zone, which, batch)
        return all_pages, False
    return used, True


def _room(batch: Batch, most: int, slots: int) -> int:
    """How many of its pages can go."""
    if batch.use is Use.ANON:
        return slots
    return min(slots, most) if batch.use in SWAPPED else most


def _keep(machine: Machine, node: Node, zone: Zone, which: Lru, batch: Batch) -> None:
    """folio_check_references(): what was used for the second time is activated, else it has another turn."""
    rmap.clear_accessed(machine, batch)
    if batch.referenced:
        which = Lru.ACTIVE_FILE if scan_count.is_file(which) else Lru.ACTIVE_ANON
        machine.count_event(Item.PGACTIVATE, batch.pages)
        node.nonresident_age += batch.pages
    batch.referenced = not batch.referenced
    lru.add(node, zone, which, batch)


def _stall(machine: Machine, control: ScanControl, gone: list[Batch], nr_pageout: int) -> None:
    """psi_memstall_enter(): who reclaims waits, also for what it writes; kswapd is told from the others."""
    who = psi.KSWAPD if control.kswapd else None
    nr_pageout += sum(batch.dirty for batch in gone if batch.use not in SWAPPED)
    nanosecs = sum(batch.pages for batch in gone) * psi.RECLAIM_NANOSECS
    psi.stall(machine, nanosecs, psi.MEMORY, who=who)
    psi.stall(machine, nr_pageout * psi.DISK_NANOSECS, psi.MEMORY, psi.IO, who=who)


def _reclaim_batch(machine: Machine, node: Node, zone: Zone, batch: Batch) -> None:
    """shrink_folio_list(): write what is dirty, swap what is anonymous. The pages are freed all at once."""
    # What has been written comes to the end of its list, to be freed next: folio_rotate_reclaimable().
    machine.count_event(Item.PGROTATED, batch.dirty if batch.use in ON_DISK else batch.pages)
    uncharge(machine, node, zone, batch)
    if batch.use is Use.FILE:
        left = filemap.file_lru_pages(machine)
        machine.vfs.pages_dropped(batch.pages, left, reclaimed=True)
        workingset.eviction(machine, node, batch, left)
    elif batch.use not in ON_DISK:
        shadow = workingset.pack_shadow(machine, node, batch)
        if batch.task is not None:
            batch.task.shadows.add(shadow)


def _swap_out(machine: Machine, node: Node, batch: Batch) -> None:
    """folio_alloc_swap(), pageout()"""
    swapfile.get_swap_pages(machine, batch.pages)
    machine.count_event(Item.PSWPOUT, batch.pages)
    machine.count_event(Item.PGPGOUT, batch.pages * KBYTES_PER_PAGE)
    node.mod_state(Item.NR_VMSCAN_WRITE, batch.pages)
    node.mod_state(Item.NR_WRITTEN, batch.pages)
    swapped = machine.swapped if batch.task is None else batch.task.swapped
    swapped[batch.use] = swapped.get(batch.use, 0) + batch.pages
