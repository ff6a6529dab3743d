"""Per-cpu lists that hold pages of another node are given back when they rest (mm/vmstat.c)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from vmfs.mm.mmzone import Zone

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

EXPIRE_SECONDS = 3


def _remote(machine: Machine) -> Iterator[tuple[Zone, int]]:
    for node, zone in machine.zones():
        for cpu in zone.pageset.lists:
            if cpu not in node.cpus:
                yield zone, cpu


def is_due(machine: Machine) -> bool:
    """Whether any list waits."""
    return machine.numa and any(True for _ in _remote(machine))


def refresh_cpu_vm_stats(machine: Machine) -> None:
    """A list of a remote zone that was left alone for three seconds loses a batch: drain_zone_pages()."""
    for zone, cpu in list(_remote(machine)):
        left = zone.pageset.expire.get(cpu, EXPIRE_SECONDS) - 1
        if left:
            zone.pageset.expire[cpu] = left
        else:
            order = machine.kernel.hpage_pmd_order
            zone.free_area.free(zone.pageset.take_oldest(cpu, zone.pageset_batch, huge_order=order))
            machine.touch()
