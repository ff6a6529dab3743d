"""/proc/PID/smaps and smaps_rollup, as fs/proc/task_mmu.c: show_smap() writes them.

No other process maps a task's pages, so all are private and the proportional share is all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vmfs.kernel import Feature, Kernel
from vmfs.mm import pagewalk
from vmfs.mm.lru import Use
from vmfs.mm.machine import Machine
from vmfs.mm.mmap import Vma
from vmfs.mm.mmzone import PAGE_SHIFT
from vmfs.mm.pagewalk import Mapped
from vmfs.views.proc.pid.maps import map_line, named
from vmfs.views.proc.pid.process import Process
from vmfs.views.seq import kb_line, kbytes


@dataclass(frozen=True, slots=True)
class Row:
    """A line of both files: pages of one mapping, of which smaps_rollup shows the sum."""

    label: str
    pages: Callable[[Mapped], int]
    needs: Feature = Feature.BASE
    only_rollup: bool = False


def none(_mapped: Mapped) -> int:
    return 0


def of(*uses: Use) -> Callable[[Mapped], int]:
    return lambda m: m.resident if m.vma.use in uses else 0


def resident(mapped: Mapped) -> int:
    return mapped.resident


def dirty(mapped: Mapped) -> int:
    return mapped.dirty


ROWS = (
    Row("Rss", resident),
    Row("Pss", resident),
    Row("Pss_Dirty", dirty, Feature.SMAPS_PSS_DIRTY),
    Row("Pss_Anon", of(Use.ANON), only_rollup=True),
    Row("Pss_File", of(Use.FILE), only_rollup=True),
    Row("Pss_Shmem", of(Use.SHMEM), only_rollup=True),
    Row("Shared_Clean", none),
    Row("Shared_Dirty", none),
    Row("Private_Clean", lambda m: m.resident - m.dirty),
    Row("Private_Dirty", dirty),
    Row("Referenced", resident),
    Row("Anonymous", of(Use.ANON)),
    Row("KSM", none, Feature.SMAPS_KSM),
    Row("LazyFree", none),
    Row("AnonHugePages", lambda m: m.thp),
    Row("ShmemPmdMapped", none),
    Row("FilePmdMapped", none),
    Row("Shared_Hugetlb", none),
    Row("Private_Hugetlb", lambda m: m.huge << m.vma.hstate.order if m.vma.hstate else 0),
    Row("Swap", lambda m: m.swap),
    Row("SwapPss", lambda m: m.swap),
    Row("Locked", lambda m: m.resident if "lo" in m.vma.flags else 0),
)


def smaps(process: Process) -> str:
    machine = process.machine
    return "".join(_smap(machine, mapped) for mapped in pagewalk.walk(machine, process.task))


def _smap(machine: Machine, mapped: Mapped) -> str:
    kernel, vma = machine.kernel, mapped.vma
    page_kb = kbytes(1 << vma.hstate.order if vma.hstate else 1)
    lines = [
        map_line(kernel, vma),
        kb_line("Size", kbytes(vma.pages)),
        kb_line("KernelPageSize", page_kb),
        kb_line("MMUPageSize", page_kb),
    ]
    shown = (row for row in ROWS if kernel.has(row.needs) and not row.only_rollup)
    lines += [kb_line(row.label, kbytes(row.pages(mapped))) for row in shown]
    eligible = thp_eligible(machine, vma)
    width = 8 if kernel.has(Feature.SMAPS_THPELIGIBLE_ALIGNED) else 0
    lines.append(f"THPeligible:    {eligible:{width}d}\n" if width else f"THPeligible:    {eligible:d}\n")
    if has_protection_keys(machine):
        lines.append(f"ProtectionKey:  {0:8}\n")
    return "".join(lines) + f"VmFlags: {''.join(f'{flag} ' for flag in vm_flags(kernel, vma))}\n"


def thp_eligible(machine: Machine, vma: Vma) -> bool:
    """thp_vma_allowable_orders(): where advised, and a whole huge page fits."""
    size = 1 << (machine.kernel.hpage_pmd_order + PAGE_SHIFT)
    fits = -(-vma.start // size) < vma.end // size
    return "hg" in vma.flags and machine.thp.allows_advised and fits


def has_protection_keys(machine: Machine) -> bool:
    """arch_show_smap(): the CPU has them, and the kernel switched them on."""
    facts = dict(machine.hardware.cpuinfo[0]) if machine.hardware.cpuinfo else {}
    return "ospke" in facts.get("flags", "").split()


FLAGS = [
    "rd",
    "wr",
    "ex",
    "sh",
    "mr",
    "mw",
    "me",
    "ms",
    "gd",
    "pf",
    "dw",
    "lo",
    "io",
    "de",
    "ac",
    "ht",
    "dd",
    "sd",
    "mm",
    "hg",
    "nh",
]
"""show_smap_vma_flags(): the order of the bits, of those that mappings here have."""


def vm_flags(kernel: Kernel, vma: Vma) -> list[str]:
    """VM_READ and its kin from the permissions, what a file opened read-only allows, and the rest."""
    read, write, execute, shared = (letter not in "-p" for letter in vma.perms)
    may_write = "io" not in vma.flags and not (shared and not write)
    given = {
        "rd": read,
        "wr": write,
        "ex": execute,
        "sh": shared and write,
        "mr": True,
        "mw": may_write,
        "me": "io" not in vma.flags,
        "ms": shared,
        "sd": kernel.has(Feature.SOFT_DIRTY) and "gd" not in vma.flags,
    }
    return [flag for flag in FLAGS if given.get(flag, flag in vma.flags)]


def smaps_rollup(process: Process) -> str:
    kernel = process.machine.kernel
    found = pagewalk.walk(process.machine, process.task)
    span = f"{found[0].vma.start:08x}-{found[-1].vma.end:08x}"
    shown = (row for row in ROWS if kernel.has(row.needs))
    sums = (kb_line(row.label, kbytes(sum(map(row.pages, found)))) for row in shown)
    return named(kernel, f"{span} ---p 00000000 00:00 0 ", "[rollup]") + "".join(sums)
