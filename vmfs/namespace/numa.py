"""CPU affinity and memory policy among the simulated CPUs and nodes, for programs such as numactl.

What a process sets is kept here and comes back when it, or what it starts, asks. The host's scheduler
and allocator are not told: the command's own threads and pages stay where the host puts them.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from errno import EINVAL, ENOSYS, ESRCH
from pathlib import Path
from typing import Generic, TypeVar

from vmfs.namespace.facts import Facts
from vmfs.namespace.seccomp import Call

WORD_BYTES = struct.calcsize("L")
WORD_BITS = 8 * WORD_BYTES
PAGE_BITS = 8 * 4096
INT = struct.Struct("@i")

MPOL_DEFAULT, MPOL_PREFERRED, MPOL_BIND, MPOL_INTERLEAVE, MPOL_LOCAL, MPOL_MANY, MPOL_WEIGHTED = range(7)
WITHOUT_NODES = (MPOL_DEFAULT, MPOL_LOCAL)
MODE_FLAGS = 0xE000  # MPOL_F_STATIC_NODES, MPOL_F_RELATIVE_NODES, MPOL_F_NUMA_BALANCING
MPOL_F_NODE, MPOL_F_ADDR, MPOL_F_MEMS_ALLOWED = 1, 2, 4

T = TypeVar("T")


@dataclass(frozen=True)
class Policy:
    mode: int = MPOL_DEFAULT
    nodes: frozenset[int] = frozenset()


class GoOn(Exception):
    """The kernel shall answer by itself."""


def refuse(number: int) -> OSError:
    return OSError(number, os.strerror(number))


class OfProcesses(Generic[T]):
    """A value that a process set; until it sets one, it has its parent's."""

    def __init__(self) -> None:
        self._values: dict[int, tuple[str, T]] = {}

    def set(self, pid: int, value: T) -> None:
        self._values = {pid: kept for pid, kept in self._values.items() if kept[0] == started(pid)}
        self._values[pid] = (started(pid), value)

    def get(self, pid: int) -> T | None:
        while pid > 1:
            when, value = self._values.get(pid, ("", None))
            if when and when == started(pid):
                return value
            pid = above(pid)
        return None


def started(pid: int) -> str:
    """When: together with the pid it tells a process from any other. "" when there is none."""
    fields = _stat(pid)
    return fields[19] if fields else ""


def above(pid: int) -> int:
    """The process of a thread, or the parent of a process."""
    leader = _status(pid, "Tgid:")
    if leader != pid:
        return leader
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def _stat(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def _status(pid: int, key: str) -> int:
    try:
        text = Path(f"/proc/{pid}/status").read_text("utf-8", "replace")
    except OSError:
        return 0
    return int(text.partition(key)[2].split(maxsplit=1)[0])


class Numa:
    """The calls, by name. Each returns the call's value or raises OSError or GoOn."""

    def __init__(self) -> None:
        self._affinity: OfProcesses[frozenset[int]] = OfProcesses()
        self._policies: OfProcesses[Policy] = OfProcesses()
        self.calls: dict[str, Callable[[Call], int]] = {
            "sched_getaffinity": self.sched_getaffinity,
            "sched_setaffinity": self.sched_setaffinity,
            "get_mempolicy": self.get_mempolicy,
            "set_mempolicy": self.set_mempolicy,
            "mbind": self.mbind,
            "migrate_pages": self.migrate_pages,
        }

    def sched_getaffinity(self, call: Call) -> int:
        """kernel/sched/syscalls.c: sys_sched_getaffinity()."""
        pid, size, address = self._whom(call), call.args[1], call.args[2]
        facts = Facts(call.pid)
        possible = facts.nr_cpu_ids()
        if size * 8 < possible or size % WORD_BYTES:
            raise refuse(EINVAL)
        size = min(size, -(-possible // WORD_BITS) * WORD_BYTES)
        online = facts.online_cpus()
        chosen = self._affinity.get(pid)
        call.write(address, mask(online & chosen if chosen else online, size))
        return size

    def sched_setaffinity(self, call: Call) -> int:
        """sched_setaffinity(): EINVAL when none of the CPUs is online."""
        pid, size, address = self._whom(call), call.args[1], call.args[2]
        chosen = members(call.read(address, min(size, PAGE_BITS // 8)))
        if not chosen & Facts(call.pid).online_cpus():
            raise refuse(EINVAL)
        self._affinity.set(pid, frozenset(chosen))
        return 0

    def get_mempolicy(self, call: Call) -> int:
        """mm/mempolicy.c: kernel_get_mempolicy(). Where a page of the command is, the host answers."""
        mode_at, nodes_at, bits, _address, flags = call.args[:5]
        facts = numa_facts(call)
        if nodes_at and bits < facts.nr_node_ids():
            raise refuse(EINVAL)
        if flags & MPOL_F_ADDR:
            raise GoOn
        policy = self._policies.get(call.pid) or Policy()
        nodes, mode = policy.nodes, policy.mode
        if flags & MPOL_F_MEMS_ALLOWED:
            if flags != MPOL_F_MEMS_ALLOWED:
                raise refuse(EINVAL)
            nodes, mode = frozenset(facts.memory_nodes()), 0
        elif flags & MPOL_F_NODE:
            if mode & ~MODE_FLAGS not in (MPOL_INTERLEAVE, MPOL_WEIGHTED):
                raise refuse(EINVAL)
            mode = min(nodes)  # the next one in turn
        if mode_at:
            call.write(mode_at, INT.pack(mode))
        if nodes_at:
            call.write(nodes_at, mask(nodes, -(-(bits - 1) // WORD_BITS) * WORD_BYTES))
        return 0

    def set_mempolicy(self, call: Call) -> int:
        self._policies.set(call.pid, self._policy(call, *call.args[:3]))
        return 0

    def mbind(self, call: Call) -> int:
        """Accepted or refused by its nodes, without an effect."""
        self._policy(call, *call.args[2:5])
        return 0

    def migrate_pages(self, call: Call) -> int:
        """All pages were moved, of a process that has none on the simulated nodes."""
        facts = numa_facts(call)
        pid, bits, old, new = call.args[:4]
        if pid and not started(pid):
            raise refuse(ESRCH)
        for address in (old, new):
            nodes = self._nodes(call, address, bits)
            if not nodes <= facts.memory_nodes():
                raise refuse(EINVAL)
        return 0

    def _policy(self, call: Call, mode: int, address: int, bits: int) -> Policy:
        """sanitize_mpol_flags(), mpol_new(), mpol_set_nodemask()."""
        facts = numa_facts(call)
        kind = mode & ~MODE_FLAGS
        nodes = self._nodes(call, address, bits) if address else set()
        if kind > MPOL_WEIGHTED or (kind in WITHOUT_NODES and nodes):
            raise refuse(EINVAL)
        usable = nodes & facts.memory_nodes()
        if kind == MPOL_PREFERRED and not nodes:
            return Policy(MPOL_LOCAL)
        if kind not in WITHOUT_NODES and not usable:
            raise refuse(EINVAL)
        return Policy(mode, frozenset(usable))

    def _nodes(self, call: Call, address: int, bits: int) -> set[int]:
        """get_nodes(): EINVAL for a node that cannot be."""
        if bits - 1 > PAGE_BITS:
            raise refuse(EINVAL)
        size = -(-max(bits - 1, 0) // WORD_BITS) * WORD_BYTES
        nodes = {node for node in members(call.read(address, size)) if node < bits - 1}
        if nodes and max(nodes) >= Facts(call.pid).nr_node_ids():
            raise refuse(EINVAL)
        return nodes

    def _whom(self, call: Call) -> int:
        """Processes in a pid namespace of their own name others by numbers that are not ours."""
        pid = call.args[0] & 0xFFFFFFFF
        if not pid:
            return call.pid
        if not started(pid):
            raise refuse(ESRCH)
        return pid


def numa_facts(call: Call) -> Facts:
    """ENOSYS: a kernel without NUMA has none of these calls."""
    facts = Facts(call.pid)
    if not facts.has_numa():
        raise refuse(ENOSYS)
    return facts


def mask(members: set[int] | frozenset[int], size: int) -> bytes:
    """A bit map of `size` bytes, in the words of this machine."""
    return sum(1 << member for member in members if member < 8 * size).to_bytes(size, "little")


def members(bits: bytes) -> set[int]:
    number = int.from_bytes(bits, "little")
    return {place for place in range(8 * len(bits)) if number >> place & 1}
