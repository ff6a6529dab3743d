"""Limits of the per-cpu page lists (mm/page_alloc.c: zone_set_pageset_high_and_batch())."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmfs.kernel import Feature
from vmfs.mm.mmzone import Node, Zone

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

BATCH_PAGES_MAX = 256  # 1 MiB, of which a batch is a quarter
FRACTION_BATCH_MAX = 96  # PAGE_SHIFT * 8
MIN_PERCPU_PAGELIST_HIGH_FRACTION = 8


def zone_pcp_update(machine: Machine) -> None:
    """Sets every populated zone's limits: after a change of watermarks, of the fraction or of CPUs.

    `high` lies between pageset_high_min and pageset_high_max where the kernel tunes it, and is
    both where it does not. In pages, the same for all CPUs.
    """
    rule = _from_wmark if machine.kernel.has(Feature.PCP_HIGH_FROM_WMARK) else _from_batch
    for node, zone in machine.zones():
        if zone.populated:
            rule(machine, node, zone)
            zone.pageset_decayed = False


def zone_batchsize(zone: Zone) -> int:
    """Pages moved between a list and the buddy allocator at a time; 0 for a small zone.

    One less than a power of two: that suits cache colouring better, the kernel found.
    """
    batch = max(1, min(zone.managed_pages // 1024, BATCH_PAGES_MAX) // 4)
    return (1 << ((batch + batch // 2).bit_length() - 1)) - 1


def _from_wmark(machine: Machine, node: Node, zone: Zone) -> None:
    zone.pageset_batch = max(1, zone_batchsize(zone))
    fraction = machine.sysctl.percpu_pagelist_high_fraction
    tuned = machine.kernel.has(Feature.PCP_HIGH_AUTO) and not fraction
    zone.pageset_high_min = _zone_highsize(machine, node, zone, fraction)
    most = _zone_highsize(machine, node, zone, MIN_PERCPU_PAGELIST_HIGH_FRACTION)
    zone.pageset_high_max = most if tuned else zone.pageset_high_min


def _zone_highsize(machine: Machine, node: Node, zone: Zone, fraction: int) -> int:
    pages = zone.managed_pages // fraction if fraction else zone.watermark.low + zone.watermark_boost
    cpus = len(node.cpus) or len(machine.hardware.online_cpus)
    return max(pages // cpus, zone.pageset_batch << 2)


def _from_batch(machine: Machine, _node: Node, zone: Zone) -> None:
    # percpu_pagelist_fraction: setup_pageset(), pageset_set_high()
    batch = zone_batchsize(zone)
    high = 6 * batch
    if fraction := machine.sysctl.percpu_pagelist_fraction:
        high = zone.managed_pages // fraction
        batch = min(high // 4, FRACTION_BATCH_MAX)
    zone.pageset_batch = max(1, batch)
    zone.pageset_high_min = zone.pageset_high_max = high
