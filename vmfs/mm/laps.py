"""Work that goes round in circles: lived through once, counted as often as it was wanted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vmfs.mm.vmstat import Item, Scope

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

_EVENTS = [item for item in Item if item.scope is Scope.EVENT and item.stored is item]
_NUMA = [item for item in Item if item.scope is Scope.NUMA]
_NODE = [item.stored for item in Item if item.scope is Scope.EVENT and item.stored is not item]
_NODE.append(Item.WORKINGSET_NODERECLAIM)
"""What only ever grows: the events, and those that are counted by node, some by later releases only."""


def repeat(machine: Machine, once: Callable[[], None], times: int) -> None:
    """`once`, `times` times, of work that leaves memory as it found it, but for the counters."""
    if times <= 0:
        return
    before, owed = _counts(machine), {name: dict(debts) for name, debts in machine.psi.debts.items()}
    once()
    for name, debts in machine.psi.debts.items():
        for who, nanosecs in debts.items():
            debts[who] += (nanosecs - owed[name].get(who, 0)) * (times - 1)
    more = [(now - then) * (times - 1) for now, then in zip(_counts(machine), before, strict=True)]
    left = iter(more)
    for item in _EVENTS:
        machine.count_event(item, next(left))
    for node in machine.nodes:
        for item in _NODE:
            node.mod_state(item, next(left))
    for _, zone in machine.zones():
        for item in _NUMA:
            zone.mod_state(item, next(left))


def _counts(machine: Machine) -> list[int]:
    return [
        *(machine.event(item) for item in _EVENTS),
        *(node.page_state(item) for node in machine.nodes for item in _NODE),
        *(zone.page_state(item) for _, zone in machine.zones() for item in _NUMA),
    ]
