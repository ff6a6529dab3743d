"""How far a CPU's counters may run ahead of the zone's (mm/vmstat.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmfs.mm.mmzone import PAGE_SHIFT, Zone

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

THRESHOLD_MAX = 125
MEMORY_UNIT_SHIFT = 27 - PAGE_SHIFT  # 128 MiB in pages


def refresh_zone_stat_thresholds(machine: Machine) -> None:
    """At boot and when CPUs or memory come and go."""
    for _, zone in machine.zones():
        zone.stat_threshold = calculate_normal_threshold(machine, zone)


def calculate_normal_threshold(machine: Machine, zone: Zone) -> int:
    """Counts, by the number of CPUs and the zone's size."""
    cpus = len(machine.hardware.online_cpus)
    memory = zone.managed_pages >> MEMORY_UNIT_SHIFT
    return min(THRESHOLD_MAX, 2 * cpus.bit_length() * (1 + memory.bit_length()))


def calculate_pressure_threshold(machine: Machine, zone: Zone) -> int:
    """Counts, while the node's kswapd is awake: all CPUs together stay within low - min."""
    gap = zone.watermark.low - zone.watermark.min
    return max(1, min(THRESHOLD_MAX, gap // len(machine.hardware.online_cpus)))
