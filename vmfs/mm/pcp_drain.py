"""Per-cpu lists that rest give pages back: those of another node, and what is too much (mm/vmstat.c)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from vmfs.kernel import Feature
from vmfs.mm.mmzone import Zone
from vmfs.mm.pcp_free import PCP_BATCH_SCALE_MAX

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

EXPIRE_SECONDS = 3


def _remote(machine: Machine) -> Iterator[tuple[Zone, int]]:
    for node, zone in machine.zones():
        for cpu in zone.pageset.lists:
            if cpu not in node.cpus:
                yield zone, cpu


def _decaying(machine: Machine) -> list[Zone]:
    """Zones whose limits have moved since the `high` of all CPUs was at its least."""
    tuned = machine.kernel.has(Feature.PCP_HIGH_AUTO)
    return [zone for _, zone in machine.zones() if not zone.pageset_decayed] if tuned else []


def is_due(machine: Machine) -> bool:
    """Whether any list waits."""
    return bool(_decaying(machine)) or (machine.numa and any(True for _ in _remote(machine)))


def refresh_cpu_vm_stats(machine: Machine) -> None:
    """Every second, on each CPU."""
    for zone in _decaying(machine):
        changes = [_decay_pcp_high(machine, zone, cpu) for cpu in _cpus(zone)]
        zone.pageset_decayed = not any(changes)
    if machine.numa:
        _drain_remote(machine)


def _cpus(zone: Zone) -> list[int]:
    return sorted(zone.pageset.lists.keys() | zone.pageset.high.keys())


def _decay_pcp_high(machine: Machine, zone: Zone, cpu: int) -> bool:
    """decay_pcp_high(): without traffic `high` sinks to its least, and what is above it is freed.

    Whether there was anything to do.
    """
    least, count = zone.pageset_high_min, zone.pageset.count(cpu)
    high = zone.pageset.high.get(cpu, least)
    if max(high, count) <= least:
        return False
    if high > least:
        sunk = max(count - (zone.pageset_batch << PCP_BATCH_SCALE_MAX), high - (high >> 3), least)
        zone.pageset.high[cpu] = high = min(sunk, high)
    if count > high:
        order = machine.kernel.hpage_pmd_order
        zone.free_area.free(zone.pageset.take_oldest(cpu, count - high, huge_order=order))
    machine.touch()
    return True


def _drain_remote(machine: Machine) -> None:
    """A list of a remote zone that was left alone for three seconds loses a batch: drain_zone_pages()."""
    for zone, cpu in list(_remote(machine)):
        left = zone.pageset.expire.get(cpu, EXPIRE_SECONDS) - 1
        if left:
            zone.pageset.expire[cpu] = left
        else:
            order = machine.kernel.hpage_pmd_order
            zone.free_area.free(zone.pageset.take_oldest(cpu, zone.pageset_batch, huge_order=order))
            machine.touch()
