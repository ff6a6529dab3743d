"""Swap areas and their slots (mm/swapfile.c). How an area goes is in swapoff.py."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from vmfs.kernel import Feature, Kernel
from vmfs.mm.mmzone import PAGE_SHIFT
from vmfs.mm.printk import Level

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine
    from vmfs.mm.snapshot import SwapState


@dataclass(slots=True, eq=False)
class SwapArea:
    """`pages` are usable pages: one less than the device holds, for the header."""

    name: str
    kind: str
    pages: int
    used: int
    priority: int


def total_swap_pages(machine: Machine) -> int:
    return sum(area.pages for area in machine.swap_areas)


def nr_swap_pages(machine: Machine) -> int:
    """Free slots."""
    return sum(area.pages - area.used for area in machine.swap_areas)


def get_swap_pages(machine: Machine, pages: int) -> int:
    """Take up to `pages` slots, the highest priority first; areas of one priority take turns."""
    left = pages
    for areas in _by_priority(machine):
        for index, area in enumerate(sorted(areas, key=lambda a: a.pages - a.used)):
            share = min(left // (len(areas) - index), area.pages - area.used)
            area.used += share
            left -= share
    return pages - left


def free_swap_pages(machine: Machine, pages: int) -> None:
    """Give slots back, the lowest priority first: what was taken last."""
    for areas in reversed(_by_priority(machine)):
        for index, area in enumerate(sorted(areas, key=lambda a: a.used)):
            share = min(pages // (len(areas) - index), area.used)
            area.used -= share
            pages -= share


def _by_priority(machine: Machine) -> list[list[SwapArea]]:
    """Areas of equal priority together, the highest first."""
    ordered = sorted(machine.swap_areas, key=lambda area: -area.priority)
    return [list(areas) for _, areas in groupby(ordered, lambda area: area.priority)]


def next_priority(machine: Machine) -> int:
    """What swapon without a priority gives: -2, -3, … in order of activation, or -1 to all."""
    if machine.kernel.has(Feature.SWAP_PRIORITY_SHARED):
        return -1
    return min((area.priority for area in machine.swap_areas if area.priority < 0), default=-1) - 1


def swapon(machine: Machine, pages: int, name: str, kind: str, priority: int | None) -> SwapArea:
    """`pages` with the header page. ValueError when the name is in use or nothing is left to use.

    A negative priority is the kernel's to give, as none is.
    """
    if any(area.name == name for area in machine.swap_areas):
        raise ValueError(f"{name} is a swap area already")
    if pages < 2:
        raise ValueError("a swap area needs two pages: one is its header")
    if priority is None or priority < 0:
        priority = next_priority(machine)
    area = SwapArea(name, kind, pages - 1, 0, priority)
    machine.swap_areas.append(area)
    machine.proc_poll_event += 1
    machine.printk(Level.INFO, adding(machine.kernel, area))
    return area


def adding(kernel: Kernel, area: SwapArea | SwapState) -> str:
    """What swapon() logs: an area is one piece of a solid-state disk."""
    kbytes, flags = area.pages << (PAGE_SHIFT - 10), "SSFS" if kernel.has(Feature.FRONTSWAP) else "SS"
    where = f"{area.name}.  Priority:{area.priority}"
    return f"Adding {kbytes}k swap on {where} extents:1 across:{kbytes}k {flags}"
