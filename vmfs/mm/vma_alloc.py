"""Pages for the mappings of a task, from where its policy has them (mm/mempolicy.c: vma_alloc_folio())."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from vmfs.mm import kswapd, mempolicy, oom_kill
from vmfs.mm.alloc_request import Parts, gfp_highuser_movable, portions

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine
    from vmfs.mm.tasks import Task


def from_policy(machine: Machine, task: Task, pages: int) -> Iterator[Parts]:
    """As many pages, spread over nodes as the policy says; OutOfMemory.

    They are to be put on a list at once: the next may have to be reclaimed for.
    """
    for nid, share in spread(machine, task, pages):
        yield from from_node(machine, task, nid, share)


def spread(machine: Machine, task: Task, pages: int) -> Iterator[tuple[int, int]]:
    """The nodes that are asked, one after the other, and for how many pages each."""
    for portion in portions(machine, pages):
        yield from mempolicy.spread(machine, task.nid, task.memory.policy, portion)
    kswapd.finish_rounds(machine, pages)


def from_node(machine: Machine, task: Task, nid: int, pages: int, *, zeroed: bool = False) -> Iterator[Parts]:
    """The same where the policy is at node `nid`."""
    request = replace(
        gfp_highuser_movable(machine, nid, pages, zeroed=zeroed),
        thisnode=task.memory.policy == mempolicy.BIND,
        cpu_nid=mempolicy.numa_node_id(machine, task.nid),
    )
    return oom_kill.alloc_in_turns(machine, request, task)
