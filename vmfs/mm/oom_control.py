"""Who found no memory, and whose memory could help (include/linux/oom.h: struct oom_control)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmfs.mm import gfp, mempolicy, swapfile
from vmfs.mm.current import Current

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine
    from vmfs.mm.tasks import Task


@dataclass(frozen=True, slots=True)
class OomControl:
    """struct oom_control: who found no memory, for what. `nids`: a memory policy's nodes, or None.

    `task` is None for a request from outside the machine's tasks, `order` -1 for sysrq-f.
    """

    current: Current
    task: Task | None
    gfp_mask: int
    order: int
    highest_zoneidx: int
    cpu: int
    nids: tuple[int, ...] | None = None

    @property
    def is_sysrq_oom(self) -> bool:
        return self.order == -1

    @property
    def cause(self) -> str:
        """What led here, as the call trace shows it."""
        if self.is_sysrq_oom:
            return "sysrq"
        if not self.gfp_mask & gfp.MOVABLE:
            return "kernel"
        return "fault" if self.task else "read"


def constrained(machine: Machine, oc: OomControl) -> bool:
    """constrained_alloc(): whether a memory policy leaves out nodes with memory."""
    return oc.nids is not None and any(n.nid not in oc.nids for n in machine.nodes if n.present_pages)


def totalpages(machine: Machine, oc: OomControl) -> int:
    swap = swapfile.total_swap_pages(machine)
    if not constrained(machine, oc):
        return machine.totalram_pages + swap
    return swap + sum(machine.node(nid).present_pages for nid in oc.nids or ())


def eligible(machine: Machine, oc: OomControl) -> list[Task]:
    """Tasks whose memory could be on the nodes in question (mempolicy_in_oom_domain())."""
    if not constrained(machine, oc):
        return list(machine.tasks.values())
    nids = oc.nids or ()
    return [t for t in machine.tasks.values() if t.memory.policy != mempolicy.BIND or t.nid in nids]
