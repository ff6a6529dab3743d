"""khugepaged: small pages of tasks that ask for huge ones become huge later (mm/khugepaged.c).

It looks at the tasks with `thp` whose memory was not huge when it came. Scans that find nothing to
collapse are not counted in full_scans.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from vmfs.mm import lru, page_alloc, page_free, rmap
from vmfs.mm.alloc_request import gfp_highuser_movable
from vmfs.mm.charge import charge
from vmfs.mm.lru import Lru, Use
from vmfs.mm.vmstat import Item

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine
    from vmfs.mm.tasks import Task


def due(machine: Machine) -> int | None:
    """The second of the next pass: multiples of scan_sleep_millisecs, where there is anything to do."""
    if not machine.thp.runs_khugepaged(machine.kernel) or not any(True for _ in _slots(machine)):
        return None
    sleep = max(machine.thp.khugepaged.scan_sleep_millisecs // 1000, 1)
    return (machine.clock.microsecs // 1_000_000 // sleep + 1) * sleep


def _slots(machine: Machine) -> Iterator[Task]:
    size = 1 << machine.kernel.hpage_pmd_order
    return (
        t for t in machine.tasks.values() if t.memory.thp and not t.memory.mlock and t.anon - t.thp >= size
    )


def khugepaged_do_scan(machine: Machine) -> None:
    """One pass: as many huge pages as pages_to_scan allows."""
    order = machine.kernel.hpage_pmd_order
    left = machine.thp.khugepaged.pages_to_scan >> order
    for task in list(_slots(machine)):
        want = min((task.anon - task.thp) >> order, left)
        left -= want
        if want:
            _collapse(machine, task, want)
    machine.thp.khugepaged.full_scans += left > 0
    machine.touch()


def _collapse(machine: Machine, task: Task, count: int) -> None:
    """collapse_huge_page(), `count` times."""
    order = machine.kernel.hpage_pmd_order
    defrag = bool(machine.thp.khugepaged.defrag)
    request = gfp_highuser_movable(machine, task.nid, count, order)
    got = page_alloc.alloc_pages_node(machine, request, retry=defrag)
    machine.count_event(Item.THP_COLLAPSE_ALLOC, got.pages >> order)
    machine.count_event(Item.THP_COLLAPSE_ALLOC_FAILED, count - (got.pages >> order))
    machine.thp.khugepaged.pages_collapsed += got.pages >> order
    _give_back(machine, task, got.pages)
    node = machine.node(task.nid)
    for zone, extents in page_free.split_by_zone(node, got):
        batch = rmap.mapped(machine, Use.ANON, extents, task)
        charge(machine, node, batch, batch.pages)
        lru.add(node, zone, machine.new_anon_list, batch)
    task.thp += got.pages
    node.mod_state(Item.NR_ANON_TRANSPARENT_HUGEPAGES, got.pages)


def _give_back(machine: Machine, task: Task, pages: int) -> None:
    """The small pages whose contents were copied, the newest first."""
    for node, zone in machine.zones():
        for which in (Lru.ACTIVE_ANON, Lru.INACTIVE_ANON):
            for batch in lru.take_task(node, zone, which, task, pages):
                charge(machine, node, batch, -batch.pages)
                page_free.free_pages(machine, zone, batch.extents)
                pages -= batch.pages
