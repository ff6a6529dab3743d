"""/sys/kernel/mm/transparent_hugepage (mm/huge_memory.c, mm/khugepaged.c, mm/shmem.c)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from errno import ERANGE
from typing import TYPE_CHECKING

from vmfs.kernel import Feature
from vmfs.mm.mmzone import PAGE_SHIFT
from vmfs.mm.vmstat import Item
from vmfs.views.codec import Parsed, Write
from vmfs.views.entry import Dir, File
from vmfs.views.kstrtox import Choice, Flag, Number
from vmfs.views.tunable import Settings, attribute, counter, settings_dir, stored_counter

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

PATH = "/sys/kernel/mm/transparent_hugepage"
SIZE_PATH = PATH + "/hugepages-{}kB"

FLAG = Number(maximum=1, limit=None, overflow=ERANGE)
"""single_hugepage_flag_store()"""


class Ptes(Number):
    """khugepaged's max_ptes_*: at most one less than a PMD maps."""

    def parse(self, write: Write, old: int) -> Parsed[int]:
        most = (1 << write.kernel.pageblock_order) - 1
        return Number(maximum=most, limit=None).parse(write, old)


def anon_sizes(machine: Machine) -> Iterator[tuple[tuple[int], Settings]]:
    """Anonymous folios have at least 4 pages."""
    return (found for found in sizes(machine) if found[1].holder.order > 1)


def sizes(machine: Machine) -> Iterator[tuple[tuple[int], Settings]]:
    for size in machine.thp.sizes:
        yield (size.size_kbytes,), Settings(machine, size)


def nr_anon(settings: Settings) -> int:
    """Folios in use; the machine makes none but PMD-sized ones."""
    machine, size = settings
    if size is not machine.thp.sizes[-1]:
        return 0
    return machine.global_page_state(Item.NR_ANON_TRANSPARENT_HUGEPAGES) >> machine.thp.order


def event(name: str, item: Item | None, needs: Feature = Feature.BASE) -> File[Settings]:
    """A counter of stats/: what vmstat counts for PMD-sized folios; other sizes are never made."""

    def count(settings: Settings) -> int:
        machine, size = settings
        return machine.event(item) if item and size is machine.thp.sizes[-1] else 0

    return gauge(name, count, needs)


def gauge(name: str, count: Callable[[Settings], int], needs: Feature = Feature.BASE) -> File[Settings]:
    """`count` is what happened here; a capture may tell of more, which stays."""

    def load(settings: Settings, text: str) -> None:
        settings.holder.others[name] = int(text) - count(settings)

    return File(
        name,
        lambda settings: f"{count(settings) + settings.holder.others.get(name, 0)}\n",
        needs=needs,
        load=load,
    )


COLLAPSE = Feature.THP_COLLAPSE_STATS

STATS: tuple[File[Settings], ...] = (
    event("collapse_alloc", Item.THP_COLLAPSE_ALLOC, COLLAPSE),
    event("collapse_alloc_failed", Item.THP_COLLAPSE_ALLOC_FAILED, COLLAPSE),
    event("shmem_alloc", Item.THP_FILE_ALLOC),
    event("shmem_fallback", Item.THP_FILE_FALLBACK),
    event("shmem_fallback_charge", Item.THP_FILE_FALLBACK_CHARGE),
    event("split", Item.THP_SPLIT_PAGE),
    event("split_failed", Item.THP_SPLIT_PAGE_FAILED),
    event("swpin", None, COLLAPSE),
    event("swpin_fallback", None, COLLAPSE),
    event("swpin_fallback_charge", None, COLLAPSE),
    event("swpout", Item.THP_SWPOUT),
    event("swpout_fallback", Item.THP_SWPOUT_FALLBACK),
    event("zswpout", None, COLLAPSE),
)

ANON_STATS: tuple[File[Settings], ...] = (
    event("anon_fault_alloc", Item.THP_FAULT_ALLOC),
    event("anon_fault_fallback", Item.THP_FAULT_FALLBACK),
    event("anon_fault_fallback_charge", Item.THP_FAULT_FALLBACK_CHARGE),
    event("collapse_exceed_none_pte", Item.THP_SCAN_EXCEED_NONE_PTE, COLLAPSE),
    event("collapse_exceed_shared_pte", Item.THP_SCAN_EXCEED_SHARE_PTE, COLLAPSE),
    event("collapse_exceed_swap_pte", Item.THP_SCAN_EXCEED_SWAP_PTE, COLLAPSE),
    gauge("nr_anon", nr_anon),
    event("nr_anon_partially_mapped", None),
    event("split_deferred", Item.THP_DEFERRED_SPLIT_PAGE),
)

DIRS: tuple[Dir[Settings], ...] = (
    settings_dir(
        PATH,
        lambda machine: machine.thp,
        attribute("enabled", Choice(("always", "madvise", "never"))),
        attribute("defrag", Choice(("always", "defer", "defer+madvise", "madvise", "never"))),
        attribute("use_zero_page", FLAG),
        attribute(
            "shmem_enabled",
            Choice(("always", "within_size", "advise", "never", "deny", "force"), longest=15),
        ),
        attribute("shrink_underused", Flag(), needs=Feature.THP_SIZES),
        counter("hpage_pmd_size", lambda thp: 1 << (thp.order + PAGE_SHIFT)),
    ),
    settings_dir(
        f"{PATH}/khugepaged",
        lambda machine: machine.thp.khugepaged,
        attribute("alloc_sleep_millisecs", Number()),
        attribute("defrag", FLAG),
        stored_counter("full_scans"),
        attribute("max_ptes_none", Ptes()),
        attribute("max_ptes_shared", Ptes()),
        attribute("max_ptes_swap", Ptes()),
        stored_counter("pages_collapsed"),
        attribute("pages_to_scan", Number(1)),
        attribute("scan_sleep_millisecs", Number()),
    ),
    Dir(
        SIZE_PATH,
        (attribute("shmem_enabled", Choice(("always", "inherit", "within_size", "advise", "never"))),),
        sizes,
        Feature.THP_SIZES,
    ),
    Dir(
        SIZE_PATH,
        (attribute("enabled", Choice(("always", "inherit", "madvise", "never"))),),
        anon_sizes,
        Feature.THP_SIZES,
    ),
    Dir(f"{SIZE_PATH}/stats", STATS, sizes, Feature.THP_SIZES),
    Dir(f"{SIZE_PATH}/stats", ANON_STATS, anon_sizes, Feature.THP_SIZES),
)
