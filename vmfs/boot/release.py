"""What a distribution's build of each release brings along: one row a fact, one block a release.

Sizes of the kernel image and of what it sets up for itself are facts of a build, read off its boot
log; how they grow with CPUs and nodes is a straight line through the machines seen. There is one
32-bit build: other releases stand in for it with their own version line.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from vmfs.kernel import Arch, Kernel, Release

Span = tuple[int, int]
"""First and last address."""


@dataclass(frozen=True, slots=True)
class Image:
    """Where the kernel lies, as /proc/iomem tells, and the parts of it freed during boot."""

    code: Span
    rodata: Span
    data: Span
    bss: Span
    init_kbytes: int
    alternatives_kbytes: int
    decrypted_kbytes: int = 0
    alternatives_late: bool = False  # freed after the log has told of memory


@dataclass(frozen=True, slots=True)
class Growth:
    """A number that depends on the machine."""

    base: float
    per_cpu: float = 0
    per_node: float = 0

    def at(self, cpus: int, nodes: int) -> int:
        return round(self.base + self.per_cpu * cpus + self.per_node * nodes)


@dataclass(frozen=True, slots=True)
class Build:
    """Pages, unless the name says otherwise."""

    version: str
    image: Image
    initrd_kbytes: int
    low_reserved: Span  # of the first MiB, frames
    early: int  # page tables and the like, beside the image
    memblock: int  # the rest of what boot takes from the last node
    node_data: int  # struct pglist_data of a node
    percpu_unit: int  # first chunk, per CPU
    percpu_more: int  # populated later, per CPU
    swiotlb_slot_bytes: int
    swiotlb_areas: int  # beside the slots
    struct_page_bytes: int
    printk_info_bytes: int
    five_level: bool  # page tables, where the CPU can
    threads: Growth
    stack_kbytes: int
    stacks_in_vmalloc: bool
    page_tables: int
    large_kmalloc: int  # unreclaimable slab that no cache holds
    vmalloc: Growth  # beside stacks and hash tables
    other: Growth  # that no counter tells
    early_users: Growth  # of the pages in use when the reserves are computed, beside the DMA pools
    rootfs: int  # files of the initramfs
    inactive_rootfs: int
    anon: int
    mapped: int
    committed: int
    allocations: Growth  # since boot: pgalloc_*
    faults: int
    uptime_centisecs: int
    local_apic_resource: bool  # in iomem
    filesystems: str  # a dash after those that need no device


_FILESYSTEMS_OLD = (
    "sysfs- tmpfs- bdev- proc- cgroup- cgroup2- cpuset- devtmpfs- debugfs- tracefs- securityfs- sockfs- "
    "bpf- pipefs- ramfs- hugetlbfs- devpts- mqueue- pstore- ext3 ext2 ext4"
)
_FILESYSTEMS_61 = _FILESYSTEMS_OLD.replace("bdev- ", "")
_FILESYSTEMS_NEW = (
    "sysfs- tmpfs- proc- cgroup- cgroup2- devtmpfs- debugfs- tracefs- securityfs- sockfs- bpf- pipefs- "
    "ramfs- hugetlbfs- devpts- fuseblk fuse- fusectl- virtiofs- mqueue- pstore- ext3 ext2 ext4"
)
_FIRST_MIB = (0, 255)
_BY = "(debian-kernel@lists.debian.org)"

_5_10 = Build(
    version=f"Linux version 5.10.0-32-amd64 {_BY} (gcc-10 (Debian 10.2.1-6) 10.2.1 20210110, "
    "GNU ld (GNU Binutils for Debian) 2.35.2) #1 SMP Debian 5.10.223-1 (2024-08-10)",
    image=Image(
        code=(0x1000000, 0x1C01F41),
        rodata=(0x1E00000, 0x2573FFF),
        data=(0x2600000, 0x287AA7F),
        bss=(0x2EB7000, 0x3FFFFFF),
        init_kbytes=2676,
        alternatives_kbytes=32,
        decrypted_kbytes=2036,
    ),
    initrd_kbytes=2112,
    low_reserved=(0, 21),
    early=13,
    memblock=7,
    node_data=42,
    percpu_unit=63,
    percpu_more=7,
    swiotlb_slot_bytes=12,
    swiotlb_areas=0,
    struct_page_bytes=64,
    printk_info_bytes=88,
    five_level=False,
    threads=Growth(28, 10, 2),
    stack_kbytes=16,
    stacks_in_vmalloc=True,
    page_tables=9,
    large_kmalloc=131,
    vmalloc=Growth(709, 82),
    other=Growth(4955, 120),
    early_users=Growth(564, 246),
    rootfs=1366,
    inactive_rootfs=315,
    anon=28,
    mapped=416,
    committed=1549,
    allocations=Growth(64400, 4000),
    faults=78977,
    uptime_centisecs=1090,
    local_apic_resource=True,
    filesystems=_FILESYSTEMS_OLD,
)
_6_1 = replace(
    _5_10,
    version=f"Linux version 6.1.0-53-amd64 {_BY} (gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0, "
    "GNU ld (GNU Binutils for Debian) 2.40) #1 SMP PREEMPT_DYNAMIC Debian 6.1.187-1 (2026-09-07)",
    image=Image(
        code=(0x1000000, 0x1E01D31),
        rodata=(0x2000000, 0x28E8FFF),
        data=(0x2A00000, 0x2C489FF),
        bss=(0x330D000, 0x43FFFFF),
        init_kbytes=2816,
        alternatives_kbytes=36,
        decrypted_kbytes=2036,
    ),
    initrd_kbytes=2228,
    low_reserved=_FIRST_MIB,
    early=17,
    memblock=7,
    node_data=43,
    percpu_unit=62,
    percpu_more=6,
    swiotlb_slot_bytes=24,
    five_level=True,
    threads=Growth(33, 10.5, 2),
    page_tables=12,
    large_kmalloc=381,
    vmalloc=Growth(863, 82, 512),
    other=Growth(440, 123),
    early_users=Growth(1085, 117, 527),
    rootfs=1461,
    inactive_rootfs=300,
    anon=48,
    committed=1625,
    allocations=Growth(74700, 4000),
    faults=95300,
    uptime_centisecs=1510,
    filesystems=_FILESYSTEMS_61,
)
_6_12 = replace(
    _6_1,
    version=f"Linux version 6.12.107+deb13-amd64 {_BY} (x86_64-linux-gnu-gcc-14 (Debian 14.2.0-19) 14.2.0, "
    "GNU ld (GNU Binutils for Debian) 2.44) #1 SMP PREEMPT_DYNAMIC Debian 6.12.107-1 (2026-08-29)",
    image=Image(
        code=(0x1000000, 0x1FFFFFF),
        rodata=(0x2000000, 0x2B8CFFF),
        data=(0x2C00000, 0x2E70BFF),
        bss=(0x3738000, 0x3BFFFFF),
        init_kbytes=4172,
        alternatives_kbytes=40,
        decrypted_kbytes=2028,
    ),
    initrd_kbytes=2248,
    percpu_unit=66,
    percpu_more=3,
    threads=Growth(43, 10, 2),
    page_tables=19,
    large_kmalloc=396,
    vmalloc=Growth(790, 12, 512),
    other=Growth(432, 117),
    early_users=Growth(1009, 0, 1391),
    rootfs=1512,
    inactive_rootfs=0,
    anon=42,
    committed=1677,
    allocations=Growth(130000, 8000),
    faults=115300,
    uptime_centisecs=2640,
    local_apic_resource=False,
    filesystems=_FILESYSTEMS_NEW,
)
_7_2 = replace(
    _6_12,
    version=f"Linux version 7.2.13+deb14-amd64 {_BY} (x86_64-linux-gnu-gcc-16 (Debian 16.2.0-4) 16.2.0, "
    "GNU ld (GNU Binutils for Debian) 2.47.50.20261021) #1 SMP PREEMPT_DYNAMIC Debian 7.2.13-1 (2026-10-28)",
    image=Image(
        code=(0x1000000, 0x22CA8DF),
        rodata=(0x2400000, 0x3162FFF),
        data=(0x3200000, 0x355B8FF),
        bss=(0x3E50000, 0x41FFFFF),
        init_kbytes=4648,
        alternatives_kbytes=48,
        decrypted_kbytes=2028,
        alternatives_late=True,
    ),
    initrd_kbytes=2316,
    memblock=6,
    swiotlb_areas=1,
    printk_info_bytes=112,
    node_data=44,
    percpu_unit=63,
    threads=Growth(47, 10, 2),
    page_tables=149,
    large_kmalloc=668,
    vmalloc=Growth(1230, 12, 512),
    other=Growth(1603, 120),
    early_users=Growth(1644, 529, 539),
    rootfs=1582,
    anon=36,
    committed=1764,
    allocations=Growth(135000, 8000),
    faults=122800,
    uptime_centisecs=2270,
)
_I386 = replace(
    _6_1,
    version=f"Linux version 6.1.0-50-686 {_BY} (gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0, "
    "GNU ld (GNU Binutils for Debian) 2.40) #1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1 (2026-07-02)",
    image=Image(
        code=(0x1000000, 0x191BC7F),
        rodata=(0x191C000, 0x1C38FFF),
        data=(0x1C39000, 0x1D70BBF),
        bss=(0x1E72000, 0x1EE5FFF),
        init_kbytes=912,
        alternatives_kbytes=32,
    ),
    initrd_kbytes=2064,
    early=18,
    memblock=0,
    node_data=0,
    percpu_unit=33,
    percpu_more=3,
    struct_page_bytes=40,
    five_level=False,
    threads=Growth(30, 10.5, 2),
    stack_kbytes=8,
    stacks_in_vmalloc=False,
    page_tables=12,
    large_kmalloc=17,
    vmalloc=Growth(246, 82),
    other=Growth(186, 120),
    early_users=Growth(0, 628),
    rootfs=1074,
    inactive_rootfs=318,
    anon=55,
    mapped=374,
    committed=1241,
    allocations=Growth(39300, 4000),
    faults=72000,
    uptime_centisecs=1690,
    filesystems=_FILESYSTEMS_OLD,
)
_BUILDS: dict[tuple[Release, Arch], Build] = {
    ((5, 10), Arch.X86_64): _5_10,
    ((6, 1), Arch.X86_64): _6_1,
    ((6, 12), Arch.X86_64): _6_12,
    ((7, 2), Arch.X86_64): _7_2,
    ((6, 1), Arch.I386): _I386,
}


def build_of(kernel: Kernel) -> Build:
    """The facts of a kernel; a 32-bit release without its own is the one there is, by another name."""
    known = _BUILDS.get((kernel.release, kernel.arch))
    if known is not None:
        return known
    version = _BUILDS[kernel.release, Arch.X86_64].version.replace("-amd64", "-686")
    return replace(_I386, version=version)


def slab_table(kernel: Kernel) -> str:
    """The file of slab caches in vmfs/data, by the same rule."""
    own = (kernel.release, kernel.arch) in _BUILDS
    major, minor = kernel.release if own else (6, 1)
    return f"slab-{major}.{minor}-{kernel.arch.value}.tsv"
