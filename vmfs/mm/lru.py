"""The page lists that reclaim scans, per zone (struct lruvec; mm/swap.c, include/linux/mm_inline.h).

Pages travel in batches: one batch is what one call allocated in one zone for one owner.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum, IntEnum, auto
from typing import TYPE_CHECKING

from vmfs.mm.extents import Extents
from vmfs.mm.vmstat import COLUMN, Item

if TYPE_CHECKING:
    from vmfs.mm.file_set import FileSet
    from vmfs.mm.mmzone import Node, Zone
    from vmfs.mm.tasks import Task


HUGE_ORDER = 9  # of a huge folio: none are larger in the page cache here
MOST_RUNS = 64  # of a batch that others are joined to


class Lru(IntEnum):
    """enum lru_list"""

    INACTIVE_ANON = 0
    ACTIVE_ANON = 1
    INACTIVE_FILE = 2
    ACTIVE_FILE = 3
    UNEVICTABLE = 4


class Use(Enum):
    """What the pages hold; it decides which counters they are in and how they are reclaimed."""

    FILE = auto()
    BUFFERS = auto()  # page cache of block devices
    SHMEM = auto()  # tmpfs and shared memory: file pages on the anonymous lists
    ANON = auto()
    SWAPCACHE = auto()  # swapped out, and not freed yet: file pages on the anonymous lists
    UNKNOWN = auto()  # on the anonymous lists, but in no counter: files of a capture differ a little


_NODE_ITEMS = (
    Item.NR_INACTIVE_ANON,
    Item.NR_ACTIVE_ANON,
    Item.NR_INACTIVE_FILE,
    Item.NR_ACTIVE_FILE,
    Item.NR_UNEVICTABLE,
)
ZONE_ITEMS = (
    Item.NR_ZONE_INACTIVE_ANON,
    Item.NR_ZONE_ACTIVE_ANON,
    Item.NR_ZONE_INACTIVE_FILE,
    Item.NR_ZONE_ACTIVE_FILE,
    Item.NR_ZONE_UNEVICTABLE,
)

_ZONE_COLUMNS = tuple(COLUMN[item] for item in ZONE_ITEMS)


@dataclass(slots=True, eq=False)
class Batch:
    """Pages of one owner on one list of one zone. `dirty` of them await writeback since an uptime.

    `files` are those the pages are of, where they have a name; `huge` of the pages, the last ones, are
    in folios as large as huge pages, each of which counts until its last page is gone. `seen_centisecs`
    is the uptime at which reclaim last looked at them, or they were mapped, if their task uses them again.
    `accessed` (pte_young()) have been used since, all of them; `referenced` were found used once before,
    `workingset` were active before.
    """

    use: Use
    extents: Extents
    task: Task | None = None
    dirty: int = 0
    dirtied_centisecs: int = 0
    files: FileSet | None = None
    huge: int = 0
    seen_centisecs: int = 0
    accessed: bool = False
    referenced: bool = False
    workingset: bool = False

    @property
    def pages(self) -> int:
        return self.extents.pages


@dataclass(slots=True, eq=False)
class LruVec:
    """Five queues of batches, the next to be reclaimed first."""

    lists: tuple[deque[Batch], ...] = field(default_factory=lambda: tuple(deque[Batch]() for _ in Lru))

    @property
    def pages(self) -> int:
        return sum(batch.pages for queue in self.lists for batch in queue)


def update_lru_size(node: Node, zone: Zone, lru: Lru, pages: int) -> None:
    """include/linux/mm_inline.h: __update_lru_size()"""
    node.mod_state(_NODE_ITEMS[lru], pages)
    zone.mod_state(ZONE_ITEMS[lru], pages)


def lru_size(zone: Zone, lru: Lru) -> int:
    """lruvec_lru_size() of one zone"""
    return int(zone.stat[_ZONE_COLUMNS[lru]])


def node_lru_size(node: Node, lru: Lru) -> int:
    """lruvec_lru_size() of all zones"""
    return node.page_state(_NODE_ITEMS[lru])


def shares(zones: list[Zone], lru: Lru, pages: int) -> list[tuple[Zone, int]]:
    """`pages` pages of a list by zone, each its part of what is there; never more than `pages`."""
    sizes = {zone: lru_size(zone, lru) for zone in zones}
    total = sum(sizes.values())
    want = left = min(pages, total)
    parts = []
    for zone, size in sizes.items():
        share = min(-(-want * size // total) if total else 0, left)
        left -= share
        if share:
            parts.append((zone, share))
    return parts


def queue_of(zone: Zone, lru: Lru) -> deque[Batch]:
    """One list. No growing task is promised pages on those of files, so they need no settling."""
    file = lru is Lru.INACTIVE_FILE or lru is Lru.ACTIVE_FILE
    return (zone.lruvec if file else zone.lru).lists[lru]


def add(node: Node, zone: Zone, lru: Lru, batch: Batch) -> None:
    """lruvec_add_folio(): the batch becomes the last to be reclaimed."""
    queue = queue_of(zone, lru)
    update_lru_size(node, zone, lru, batch.pages)
    if queue and _continues(queue[-1], batch):
        queue[-1].huge += batch.huge
        queue[-1].extents = Extents.concat([queue[-1].extents, batch.extents]).coalesced()
    else:
        queue.append(batch)


def add_tail(node: Node, zone: Zone, lru: Lru, batch: Batch) -> None:
    """lruvec_add_folio_tail(): the batch becomes the first to be reclaimed."""
    update_lru_size(node, zone, lru, batch.pages)
    queue_of(zone, lru).appendleft(batch)


def _continues(last: Batch, batch: Batch) -> bool:
    """Whether two batches can be one, so that many small ones do not make long queues."""
    return (
        (last.use, last.task, last.files) == (batch.use, batch.task, batch.files)
        and last.seen_centisecs == batch.seen_centisecs
        and (last.accessed, last.referenced, last.workingset)
        == (batch.accessed, batch.referenced, batch.workingset)
        and not last.dirty
        and not batch.dirty
        and len(last.extents.start) + len(batch.extents.start) <= MOST_RUNS
    )


def take(
    node: Node,
    zone: Zone,
    lru: Lru,
    pages: int,
    *,
    mapped: bool = True,
    dirty: bool = True,
    only: Use | None = None,
    files: FileSet | None = None,
) -> list[Batch]:
    """isolate_lru_folios(): up to `pages` pages from the head, splitting the last batch.

    Without `mapped` the pages of tasks, without `dirty` those are passed over and keep their place,
    with `only` all other uses, with `files` those of other files.
    """
    queue = queue_of(zone, lru)
    taken: list[Batch] = []
    kept: list[Batch] = []
    while queue and pages > 0:
        batch = queue.popleft()
        most = batch.pages if dirty else batch.pages - batch.dirty
        passed = (batch.task is not None and not mapped) or only not in (None, batch.use)
        passed = passed or files not in (None, batch.files)
        if not most or passed:
            kept.append(batch)
            continue
        head = split(batch, min(pages, most))
        if head is not batch:
            queue.appendleft(batch)
        taken.append(head)
        pages -= head.pages
    queue.extendleft(reversed(kept))
    update_lru_size(node, zone, lru, -sum(batch.pages for batch in taken))
    return taken


def split(batch: Batch, pages: int) -> Batch:
    """The first `pages` pages as a batch of their own; the batch itself when that is all of it.

    Dirty pages stay behind as long as there are clean ones to give.
    """
    if batch.pages <= pages:
        return batch
    huge = (pages - min(batch.pages - batch.huge, pages)) >> HUGE_ORDER << HUGE_ORDER
    head, batch.extents = batch.extents.take(pages)
    batch.huge -= huge
    dirty = max(batch.dirty - batch.pages, 0)
    batch.dirty -= dirty
    return replace(batch, extents=head, dirty=dirty, huge=huge)


def take_use(node: Node, zone: Zone, lru: Lru, use: Use) -> list[Batch]:
    """Every batch of one use, off one list."""
    return _take_all(node, zone, lru, lambda batch: batch.use is use)


def _take_all(node: Node, zone: Zone, lru: Lru, wanted: Callable[[Batch], bool]) -> list[Batch]:
    queue = queue_of(zone, lru)
    gone = [batch for batch in queue if wanted(batch)]
    if gone:
        update_lru_size(node, zone, lru, -sum(batch.pages for batch in gone))
        others = [batch for batch in queue if not wanted(batch)]
        queue.clear()
        queue.extend(others)
    return gone


def remove_task(node: Node, zone: Zone, task: Task) -> list[Batch]:
    """Every batch of a task, taken off the lists."""
    return [batch for lru in Lru for batch in _take_all(node, zone, lru, lambda batch: batch.task is task)]


def take_task(node: Node, zone: Zone, lru: Lru, task: Task, pages: int, use: Use = Use.ANON) -> list[Batch]:
    """Up to `pages` anonymous pages of a task from one list, the newest first."""
    queue = queue_of(zone, lru)
    taken: list[Batch] = []
    for batch in reversed([each for each in queue if each.task is task and each.use is use]):
        if pages <= 0:
            break
        head = split(batch, pages)
        if head is batch:
            queue.remove(batch)
        taken.append(head)
        pages -= head.pages
    update_lru_size(node, zone, lru, -sum(batch.pages for batch in taken))
    return taken
