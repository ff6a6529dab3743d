"""Swap areas (mm/swapfile.c)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmfs.mm import memory, page_alloc

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine


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
    """Take up to `pages` slots, the highest priority first; equal priorities in order of activation."""
    left = pages
    for area in sorted(machine.swap_areas, key=lambda a: -a.priority):
        share = min(left, area.pages - area.used)
        area.used += share
        left -= share
    return pages - left


def free_swap_pages(machine: Machine, pages: int) -> None:
    """Give slots back, the lowest priority first: what was taken last."""
    for area in sorted(machine.swap_areas, key=lambda a: a.priority):
        share = min(pages, area.used)
        area.used -= share
        pages -= share


def next_priority(machine: Machine) -> int:
    """What swapon without a priority gives: -2, -3, … in order of activation."""
    return min((area.priority for area in machine.swap_areas if area.priority < 0), default=-1) - 1


def swapon(machine: Machine, pages: int, name: str, kind: str, priority: int | None) -> SwapArea:
    """`pages` with the header page. ValueError when the name is in use or nothing is left to use."""
    if any(area.name == name for area in machine.swap_areas):
        raise ValueError(f"{name} is a swap area already")
    if pages < 2:
        raise ValueError("a swap area needs two pages: one is its header")
    area = SwapArea(name, kind, pages - 1, 0, next_priority(machine) if priority is None else priority)
    machine.swap_areas.append(area)
    return area


def swapoff(machine: Machine, name: str) -> None:
    """try_to_unuse(): KeyError for an unknown name; OutOfMemory, with the area kept, when memory is short."""
    area = next((area for area in machine.swap_areas if area.name == name), None)
    if area is None:
        raise KeyError(name)
    machine.swap_areas.remove(area)
    try:
        memory.unuse(machine, area.used)
    except page_alloc.OutOfMemory:
        machine.swap_areas.append(area)
        raise
