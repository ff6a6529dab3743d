"""Watermarks and reserves (mm/page_alloc.c: setup_per_zone_wmarks() and its neighbours).

They are stored, not derived, because the kernel's own are seen to go stale: what boot hands over
late (init code, initrd) raises managed_pages and moves neither watermarks nor protections until
the next set-up, and totalreserve_pages holds the boost of the moment it was summed in.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from math import isqrt
from typing import TYPE_CHECKING

from vmfs.kernel import Feature, Kernel
from vmfs.mm import pageset
from vmfs.mm.mmzone import MIGRATE_PCPTYPES, PAGE_SHIFT, Node, Watermark, Zone
from vmfs.mm.printk import Level

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

Mark = Callable[[Zone], int]
"""One of the four functions below."""

KBYTES_SHIFT = PAGE_SHIFT - 10
MIN_FREE_KBYTES_RANGE = (128, 262144)
HIGHMEM_MIN_RANGE = (32, 128)  # pages: SWAP_CLUSTER_MAX and 128


def min_wmark_pages(zone: Zone) -> int:
    return zone.watermark.min + zone.watermark_boost


def low_wmark_pages(zone: Zone) -> int:
    return zone.watermark.low + zone.watermark_boost


def high_wmark_pages(zone: Zone) -> int:
    return zone.watermark.high + zone.watermark_boost


def promo_wmark_pages(zone: Zone) -> int:
    return zone.watermark.promo + zone.watermark_boost


def has_page(zone: Zone, highest_zoneidx: int) -> bool:
    """Whether the slow path finds a page in the zone, for a request of that highest zone."""
    return spare_pages(zone, highest_zoneidx) > 0


def spare_pages(zone: Zone, highest_zoneidx: int) -> int:
    """Free pages above the min watermark and the protection; negative below them."""
    return zone.free_pages - min_wmark_pages(zone) - zone.lowmem_reserve[highest_zoneidx]


def totalreserve_pages(machine: Machine) -> int:
    """Pages no page cache can get: the sum of the nodes' totalreserve_pages."""
    return sum(node.totalreserve_pages for node in machine.nodes)


def setup_per_zone_wmarks(machine: Machine) -> None:
    """After a change of min_free_kbytes or watermark_scale_factor: all watermarks, without boost."""
    kernel = machine.kernel
    movable = movable_is_highmem(machine)
    zones = [(zone, _is_clamped(kernel, zone, movable)) for _, zone in machine.zones() if zone.managed_pages]
    lowmem = sum(zone.managed_pages for zone, clamped in zones if not clamped)
    pages_min = machine.sysctl.min_free_kbytes >> KBYTES_SHIFT
    for zone, clamped in zones:
        share = pages_min * zone.managed_pages // lowmem if lowmem else 0
        scale = zone.managed_pages * machine.sysctl.watermark_scale_factor // 10000
        zone.watermark = _watermark(zone, share, scale, clamped=clamped)
        zone.watermark_boost = 0
    calculate_totalreserve_pages(machine)
    pageset.zone_pcp_update(machine)


def setup_empty_zones(machine: Machine) -> None:
    """The watermarks of zones without memory, which no setting moves: once, at boot."""
    movable = movable_is_highmem(machine)
    for _, zone in machine.zones():
        if not zone.managed_pages:
            clamped = _is_clamped(machine.kernel, zone, movable)
            zone.watermark = _watermark(zone, 0, 0, clamped=clamped)


def _watermark(zone: Zone, share: int, scale: int, *, clamped: bool) -> Watermark:
    lowest, highest = HIGHMEM_MIN_RANGE
    minimum = max(lowest, min(zone.managed_pages // 1024, highest)) if clamped else share
    gap = max(share >> 2, scale)
    return Watermark(minimum, minimum + gap, minimum + 2 * gap, minimum + 3 * gap)


def movable_is_highmem(machine: Machine) -> bool:
    """movable_zone == ZONE_HIGHMEM: Movable is carved out of HighMem where there is any."""
    return any(zone.is_highmem and zone.spanned_pages for _, zone in machine.zones())


def _is_clamped(kernel: Kernel, zone: Zone, movable: bool) -> bool:
    # Zones that kernel allocations cannot use keep only a token minimum and no share.
    if zone.name == "Movable":
        return movable or kernel.has(Feature.WMARK_MOVABLE_CLAMPED)
    return zone.is_highmem


def setup_per_zone_lowmem_reserve(machine: Machine) -> None:
    """Protections from lowmem_reserve_ratio. The sysctl's handler runs it after a read as well."""
    ratios = machine.sysctl.lowmem_reserve_ratio
    for node in machine.nodes:
        managed = [zone.managed_pages for zone in node.zones]
        for i, zone in enumerate(node.zones):
            above = accumulate(managed[i + 1 :])
            ratio = ratios[i] if zone.managed_pages else 0
            reserve = (pages // ratio for pages in above) if ratio else (0 for _ in above)
            zone.lowmem_reserve = (*[0] * (i + 1), *reserve)
    calculate_totalreserve_pages(machine)


def calculate_totalreserve_pages(machine: Machine) -> None:
    """Pages of each node that the highest protection and the high watermark, boost included, withhold."""
    for node in machine.nodes:
        node.totalreserve_pages = sum(
            min(zone.managed_pages, max(zone.lowmem_reserve, default=0) + high_wmark_pages(zone))
            for zone in node.zones
            if zone.managed_pages
        )


def nr_free_buffer_pages(machine: Machine) -> int:
    """Pages beyond the high watermarks that GFP_USER can reach (nr_free_zone_pages())."""
    zones = (zone for _, zone in machine.zones() if is_buffer_zone(zone))
    return sum(max(0, zone.managed_pages - high_wmark_pages(zone)) for zone in zones)


def is_buffer_zone(zone: Zone) -> bool:
    """zone_idx(zone) <= gfp_zone(GFP_USER), which is Normal."""
    return zone.name in {"DMA", "DMA32", "Normal"}


def calculate_min_free_kbytes(machine: Machine) -> None:
    """The default by memory size, unless the administrator once wrote a larger number."""
    wanted = _min_free_kbytes_for(nr_free_buffer_pages(machine))
    preferred = machine.sysctl.user_min_free_kbytes
    if wanted > preferred:
        lowest, highest = MIN_FREE_KBYTES_RANGE
        machine.sysctl.min_free_kbytes = max(lowest, min(wanted, highest))
    else:
        kept = f"because user defined value {preferred} is preferred"
        machine.printk(Level.WARNING, f"min_free_kbytes is not updated to {wanted} {kept}")


def set_recommended_min_free_kbytes(machine: Machine, *, thp_enabled: bool) -> None:
    """mm/khugepaged.c: what anti-fragmentation needs, at most 5 % of low memory; sets watermarks up.

    Run at boot where memory is enough for transparent huge pages, and by each write to
    transparent_hugepage/enabled; the kernel logs when it overrides an administrator's number.
    """
    if thp_enabled:
        _raise_min_free_kbytes(machine, _recommended_min_free_kbytes(machine, nr_free_buffer_pages(machine)))
    elif machine.kernel.has(Feature.THP_OFF_LOWERS_MIN_FREE):
        calculate_min_free_kbytes(machine)
    else:
        return
    setup_per_zone_wmarks(machine)


def _min_free_kbytes_for(lowmem_pages: int) -> int:
    return isqrt((lowmem_pages << KBYTES_SHIFT) * 16)


def _recommended_min_free_kbytes(machine: Machine, lowmem_pages: int) -> int:
    pageblock_pages = 1 << machine.kernel.pageblock_order
    zones = sum(zone.populated and is_buffer_zone(zone) for _, zone in machine.zones())
    pages = pageblock_pages * zones * (2 + MIGRATE_PCPTYPES * MIGRATE_PCPTYPES)
    return min(pages, lowmem_pages // 20) << KBYTES_SHIFT


def is_min_free_kbytes_of_users(machine: Machine) -> bool:
    """Whether the number is far from all that the kernel comes to by itself, so that one was written.

    The kernel subtracts high watermarks that are not known any more, at most a twentieth.
    """
    lowmem_pages = sum(zone.managed_pages for _, zone in machine.zones() if is_buffer_zone(zone))
    lowest, highest = MIN_FREE_KBYTES_RANGE
    default = max(lowest, min(_min_free_kbytes_for(lowmem_pages), highest))
    own = (default, _recommended_min_free_kbytes(machine, lowmem_pages))
    return not any(kbytes * 19 // 20 <= machine.sysctl.min_free_kbytes <= kbytes for kbytes in own)


def _raise_min_free_kbytes(machine: Machine, kbytes: int) -> None:
    sysctl = machine.sysctl
    if kbytes <= sysctl.min_free_kbytes:
        return
    if sysctl.user_min_free_kbytes >= 0:
        raising = f"raising min_free_kbytes from {sysctl.min_free_kbytes} to {kbytes}"
        machine.printk(Level.INFO, f"khugepaged: {raising} to help transparent hugepage allocations")
    sysctl.min_free_kbytes = kbytes


def min_unmapped_pages(machine: Machine, node: Node) -> int:
    """Unmapped page cache below which node reclaim does not start (setup_min_unmapped_ratio())."""
    return sum(zone.managed_pages * machine.sysctl.min_unmapped_ratio // 100 for zone in node.zones)


def min_slab_pages(machine: Machine, node: Node) -> int:
    """Reclaimable slab below which node reclaim spares it (setup_min_slab_ratio())."""
    return sum(zone.managed_pages * machine.sysctl.min_slab_ratio // 100 for zone in node.zones)
