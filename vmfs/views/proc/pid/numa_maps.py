"""/proc/PID/numa_maps, as fs/proc/task_mmu.c: show_numa_map() writes it."""

from __future__ import annotations

from vmfs.mm import mempolicy, pagewalk
from vmfs.mm.lru import Use
from vmfs.mm.machine import Machine
from vmfs.mm.pagewalk import Mapped
from vmfs.mm.tasks import Task
from vmfs.views.proc.pid.process import Process
from vmfs.views.seq import id_list, kbytes, mangle

ESCAPED = "\n\t= "


def numa_maps(process: Process) -> str:
    """A mapping without pages ends behind its policy."""
    machine, task = process
    policy = mpol_to_str(machine, task)
    lines = (f"{m.vma.start:08x} {policy}{_what(m)}{_pages(m)}\n" for m in pagewalk.walk(machine, task))
    return "".join(lines)


def mpol_to_str(machine: Machine, task: Task) -> str:
    """mm/mempolicy.c: mpol_to_str(). Memory of a node without CPUs comes only to who prefers it."""
    policy = task.memory.policy
    if policy == mempolicy.INTERLEAVE:
        return f"interleave:{id_list(node.nid for node in machine.nodes if node.managed_pages)}"
    if policy == mempolicy.BIND:
        return f"bind:{task.nid}"
    elsewhere = mempolicy.numa_node_id(machine, task.nid) != task.nid
    return f"prefer:{task.nid}" if policy == mempolicy.PREFERRED or elsewhere else "default"


def _what(mapped: Mapped) -> str:
    vma = mapped.vma
    name = {"[heap]": " heap", "[stack]": " stack"}.get(vma.name, "")
    file = f" file={mangle(vma.name, ESCAPED)}" if vma.is_file else name
    return f"{file} huge" if vma.hstate else file


def _pages(mapped: Mapped) -> str:
    hstate = mapped.vma.hstate
    pages = sum(mapped.nodes.values())
    if not pages:
        return ""
    anon = pages if hstate or mapped.vma.use is Use.ANON else 0
    dirty = pages if hstate else mapped.dirty
    counts = (
        ("anon", anon, anon > 0),
        ("dirty", dirty, dirty > 0),
        ("mapped", pages, pages not in (anon, dirty)),
        ("active", mapped.active, mapped.active < pages and not hstate),
        *((f"N{nid}", count, True) for nid, count in mapped.nodes.items()),
        ("kernelpagesize_kB", kbytes(1 << hstate.order if hstate else 1), True),
    )
    return "".join(f" {name}={count}" for name, count, shown in counts if shown)
