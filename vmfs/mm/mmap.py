"""The mappings of a task: their addresses, sizes and flags (mm/mmap.c, mm/util.c, fs/binfmt_elf.c).

Every task runs the same small static program, and maps once for each kind of memory it was told to
have. Addresses follow from the machine's seed and the pid; their entropy is that of the default
sysctls.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

from vmfs.kernel import Feature, Kernel
from vmfs.mm.lru import Use
from vmfs.mm.mmzone import PAGE_SHIFT, PAGE_SIZE

if TYPE_CHECKING:
    from vmfs.mm.hugetlb import Hstate
    from vmfs.mm.machine import Machine
    from vmfs.mm.tasks import Task

PMD_SIZE = 2 << 20
TASK_COMM_LEN = 16
STACK_PAGES, HEAP_PAGES = 33, 34  # what exec() and the first malloc() of a C library make them
STACK_RLIMIT = 8 << 20
STACK_GUARD_GAP = 1 << 20
VVAR_PAGES, VVAR_VCLOCK_PAGES, VDSO_PAGES = 4, 2, 2
TOUCHED_PAGES = 3  # of heap and stack, by a program that does little

ROOT_DEV, SHMEM_DEV, HUGETLB_DEV, NO_DEV = "fe:01", "00:01", "00:0f", "00:00"
"""/dev/vda1, the kernel's own mounts of tmpfs and hugetlbfs, no file."""


class Vma(NamedTuple):
    """struct vm_area_struct. Addresses and `offset` in bytes, `end` exclusive.

    `use` is which of the task's pages are in it, `touches` how many of them a running program has
    there; None stands for a mapping the task was told to have, which takes all the others.
    `flags` are those of VmFlags that permissions do not tell.
    """

    start: int
    end: int
    perms: str
    flags: tuple[str, ...] = ()
    use: Use | None = None
    touches: int | None = None
    name: str = ""  # a file's path, or "[heap]"
    offset: int = 0
    dev: str = NO_DEV
    hstate: Hstate | None = None

    @property
    def pages(self) -> int:
        return (self.end - self.start) >> PAGE_SHIFT

    @property
    def inode(self) -> int:
        """Of the file: its number is made from its name, since no file system keeps it."""
        return 0 if self.dev == NO_DEV else crc32(self.name.encode()) % 1_000_000 + 2

    @property
    def is_file(self) -> bool:
        return self.dev != NO_DEV


class Segment(NamedTuple):
    """A part of the program; `touches` pages of it are used when it runs."""

    pages: int
    touches: int
    perms: str
    use: Use = Use.FILE
    in_file: bool = True


class Program(NamedTuple):
    """An executable: where it is linked to, its segments, the first pages of its address space."""

    base: int
    segments: tuple[Segment, ...]

    @property
    def pages(self) -> int:
        return sum(segment.pages for segment in self.segments)


def _program(base: int, text: int, rodata: int, bss: int) -> Program:
    return Program(
        base,
        (
            Segment(1, 1, "r--p"),
            Segment(text, 136, "r-xp"),
            Segment(rodata, 32, "r--p"),
            Segment(4, 2, "r--p", Use.ANON),  # relocated, then read-only
            Segment(3, 3, "rw-p", Use.ANON),
            Segment(bss, 3, "rw-p", Use.ANON, in_file=False),
        ),
    )


TEXT, RELRO, DATA = 1, 3, 4  # which segments have the code and the initialised data
_X86_64 = _program(0x400000, text=152, rodata=42, bss=63)
_I386 = _program(0x8048000, text=142, rodata=54, bss=59)
"""An ordinary static program, as compiled for the two."""


def program(kernel: Kernel) -> Program:
    return _I386 if kernel.has(Feature.HIGHMEM) else _X86_64


class Layout(NamedTuple):
    """What exec() and mmap() have chosen (struct mm_struct). Addresses in bytes.

    Mappings end at the address that is named; the anonymous one grows down from `anon_end`.
    """

    start_brk: int
    stack_end: int
    vdso_end: int
    mmap_base: int
    anon_end: int


def layout(machine: Machine, task: Task) -> Layout:
    """arch_pick_mmap_layout(), arch_randomize_brk(), vdso_addr() with the chance of seed and pid."""
    kernel = machine.kernel
    digest = hashlib.blake2b(f"{machine.seed} {task.pid}".encode(), digest_size=32).digest()
    chance = [int.from_bytes(digest[at : at + 8], "little") for at in range(0, 32, 8)]
    wide = not kernel.has(Feature.HIGHMEM)
    top, stack_bits, mmap_bits = (0x7FFFFFFFF000, 22, 28) if wide else (0xC0000000, 11, 8)
    stack_end = top - (chance[0] % (1 << stack_bits) << PAGE_SHIFT)
    gap = STACK_RLIMIT + ((1 << stack_bits) << PAGE_SHIFT) + STACK_GUARD_GAP
    base = top - max(gap, 128 << 20) - (chance[1] % (1 << mmap_bits) << PAGE_SHIFT)
    brk_pages = (1 << 30 if kernel.has(Feature.BRK_RANDOM_1G) else 32 << 20) >> PAGE_SHIFT
    exe = program(kernel)
    brk = exe.base + (exe.pages + 1 + chance[2] % brk_pages) * PAGE_SIZE
    special = _special_pages(kernel) * PAGE_SIZE
    vdso_end = base
    mmap_base = base - special
    if kernel.has(Feature.VDSO_ABOVE_STACK):
        room = PMD_SIZE - special  # behind the stack, in what is left of a page table
        vdso_end = min(stack_end + (1 + chance[3] % (room >> PAGE_SHIFT)) * PAGE_SIZE + special, top)
        stack_end = min(stack_end, vdso_end - special)
        mmap_base = base
    return Layout(brk, stack_end, vdso_end, mmap_base, _anon_end(machine, task, mmap_base))


def _special_pages(kernel: Kernel) -> int:
    return VVAR_PAGES + VDSO_PAGES + (VVAR_VCLOCK_PAGES if kernel.has(Feature.VVAR_VCLOCK) else 0)


def _anon_end(machine: Machine, task: Task, mmap_base: int) -> int:
    """Where the anonymous mapping ends: below all others, so that huge pages fit where it may have some."""
    end = min((vma.start for vma in _told(machine, task, mmap_base)), default=mmap_base)
    size = task.memory.anon * PAGE_SIZE
    whole = machine.kernel.has(Feature.MMAP_ALIGNED_TO_PMD) and size and size % PMD_SIZE == 0
    huge_bytes = PAGE_SIZE << machine.kernel.hpage_pmd_order
    if not whole and not task.memory.thp:
        return end
    return (end - size) // huge_bytes * huge_bytes + size


def vmas(machine: Machine, task: Task, grows: int = 0) -> list[Vma]:
    """All mappings of a task, in order of address; the anonymous one with `grows` more pages."""
    at = layout(machine, task)
    found = [*_of_program(machine.kernel, task, at), *_told(machine, task, at.mmap_base)]
    if size := mapped(task, Use.ANON, grows) * PAGE_SIZE:
        huge = "hg" if task.memory.thp else "nh"
        found.append(Vma(at.anon_end - size, at.anon_end, "rw-p", (*_locked(task), "ac", huge), Use.ANON))
    found += _special(machine.kernel, at.vdso_end)
    return sorted(found, key=lambda vma: vma.start)


def mapped(task: Task, use: Use, grows: int = 0) -> int:
    """Pages that a task has mapped of its own accord: what it was told to, and what it has grown by."""
    memory = task.memory
    if use is Use.ANON:
        return max(memory.anon, task.anon + task.swapped.get(use, 0)) + grows
    return memory.file if use is Use.FILE else memory.shmem


def room(task: Task, vma: Vma) -> int:
    """Pages of a task that a mapping may hold.

    Locked memory and memory in huge pages is all in the mapping the task was told to have.
    """
    if vma.touches is None:
        return vma.pages
    return 0 if task.memory.mlock or task.memory.thp else min(vma.touches, vma.pages)


def comm(task: Task) -> str:
    """set_task_comm(): the last part of the path, cut to 15 bytes."""
    return task.name.rpartition("/")[2].encode()[: TASK_COMM_LEN - 1].decode(errors="ignore")


def executable(task: Task) -> str:
    """The path of the program."""
    return task.name if task.name.startswith("/") else f"/usr/bin/{task.name}"


def _of_program(kernel: Kernel, task: Task, at: Layout) -> list[Vma]:
    exe = program(kernel)
    start, offset = exe.base, 0
    found = []
    for pages, touches, perms, use, in_file in exe.segments:
        size = pages * PAGE_SIZE
        account = ("ac",) if use is Use.ANON else ()
        deny = ("dw",) if in_file and kernel.has(Feature.VM_DENYWRITE) else ()
        backing = (executable(task), offset, ROOT_DEV) if in_file else ("", 0, NO_DEV)
        found.append(Vma(start, start + size, perms, (*deny, *account), use, touches, *backing))
        start, offset = start + size, offset + size
    brk, stack = at.start_brk, at.stack_end
    heap_end, stack_start = brk + HEAP_PAGES * PAGE_SIZE, stack - STACK_PAGES * PAGE_SIZE
    return [
        *found,
        Vma(brk, heap_end, "rw-p", ("ac",), Use.ANON, TOUCHED_PAGES, "[heap]"),
        Vma(stack_start, stack, "rw-p", ("gd", "ac"), Use.ANON, TOUCHED_PAGES, "[stack]"),
    ]


def _told(machine: Machine, task: Task, end: int) -> list[Vma]:
    """What the task was told to map beside anonymous memory, downwards from `end`."""
    memory, lock, found = task.memory, _locked(task), []
    if memory.file:
        size = memory.file * PAGE_SIZE
        where = (f"/var/lib/{comm(task)}/data", 0, ROOT_DEV)
        found.append(Vma(end - size, end, "r--s", lock, Use.FILE, None, *where))
        end -= size
    if memory.shmem:
        size = memory.shmem * PAGE_SIZE
        where = ("/dev/zero (deleted)", 0, SHMEM_DEV)
        found.append(Vma(end - size, end, "rw-s", lock, Use.SHMEM, None, *where))
        end -= size
    if memory.huge:
        hstate = machine.default_hstate
        page = PAGE_SIZE << hstate.order
        start = (end - memory.huge * page) // page * page
        where = ("/anon_hugepage (deleted)", 0, HUGETLB_DEV)
        end = start + memory.huge * page
        found.append(Vma(start, end, "rw-p", ("de", "ht"), None, None, *where, hstate))
    return found


def _locked(task: Task) -> tuple[str, ...]:
    return ("lo",) if task.memory.mlock else ()


def _special(kernel: Kernel, end: int) -> list[Vma]:
    """map_vdso(): the kernel's data and code, which a task reads the time with; not touched here."""
    pfnmap = ("pf", "io", "de", "dd")
    parts = [(VVAR_PAGES, "r--p", pfnmap, "[vvar]"), (VDSO_PAGES, "r-xp", ("de",), "[vdso]")]
    if kernel.has(Feature.VVAR_VCLOCK):
        parts[0] = (VVAR_PAGES, "r--p", ("io", "de", "dd", "mm"), "[vvar]")
        parts.insert(1, (VVAR_VCLOCK_PAGES, "r--p", pfnmap, "[vvar_vclock]"))
    start = end - _special_pages(kernel) * PAGE_SIZE
    found = []
    for pages, perms, flags, name in parts:
        found.append(Vma(start, start + pages * PAGE_SIZE, perms, flags, name=name))
        start = found[-1].end
    return found


# -- what is counted -----------------------------------------------------------------------------


def accounted(found: list[Vma]) -> list[int]:
    """Pages of each mapping that counts for overcommit: VM_ACCOUNT, and shared memory."""
    return [vma.pages for vma in found if "ac" in vma.flags or vma.use is Use.SHMEM]


class Sizes(NamedTuple):
    """vm_stat_account(): pages mapped in all, and of which kind."""

    total_vm: int
    exec_vm: int
    data_vm: int
    stack_vm: int
    locked_vm: int


def sizes(found: list[Vma]) -> Sizes:
    stack = [vma for vma in found if "gd" in vma.flags]
    return Sizes(
        sum(vma.pages for vma in found),
        sum(vma.pages for vma in found if "x" in vma.perms),
        sum(vma.pages for vma in found if vma.perms.startswith("rw-p") and vma not in stack),
        sum(vma.pages for vma in stack),
        sum(vma.pages for vma in found if "lo" in vma.flags),
    )
