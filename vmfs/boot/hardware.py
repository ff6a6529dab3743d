"""What the files tell about the machine itself: version, processors, resources, file systems."""

from __future__ import annotations

from vmfs.boot.cpuinfo import cpuinfo
from vmfs.boot.firmware import MemoryMap
from vmfs.boot.iomem import resources
from vmfs.boot.release import Build
from vmfs.kernel import Feature
from vmfs.mm.mmzone import PAGE_SHIFT
from vmfs.mm.snapshot import Hardware
from vmfs.spec import Spec, format_size

SMALL_BLOCK = 128 << 20
LARGE_BLOCK = 2 << 30
LARGE_MACHINE_BYTES = 64 << 30


def hardware(spec: Spec, build: Build, firmware: MemoryMap) -> Hardware:
    """All but the mounts, whose sizes depend on memory: see `mounts`."""
    five_level = build.five_level and spec.cpu.la57
    return Hardware(
        nr_cpu_ids=spec.nr_cpu_ids,
        present_cpus=spec.cpus,
        online_cpus=spec.cpus,
        la57=five_level,
        memory_block_bytes=memory_block_bytes(firmware.top << PAGE_SHIFT, guest=spec.cpu.hypervisor),
        version=build.version,
        cmdline=spec.cmdline,
        cpuinfo=cpuinfo(spec, five_level=five_level),
        filesystems=[(name.endswith("-"), name.rstrip("-")) for name in build.filesystems.split()],
        iomem=resources(spec, build, firmware),
        tlb=spec.cpu.tlb,
    )


def memory_block_bytes(top_bytes: int, *, guest: bool) -> int:
    """arch/x86/mm/init_64.c: probe_memory_block_size(). A guest's blocks divide its memory."""
    if top_bytes < LARGE_MACHINE_BYTES:
        return SMALL_BLOCK
    size = LARGE_BLOCK
    while guest and size > SMALL_BLOCK and top_bytes % size:
        size //= 2
    return size


def mounts(spec: Spec, total_pages: int, low_pages: int) -> list[tuple[str, ...]]:
    """The six columns. A tmpfs may hold half of memory, and an inode a page of low memory."""
    half = total_pages // 2
    size = f"size={half << (PAGE_SHIFT - 10)}k,nr_inodes={min(half, low_pages)}"
    last = ",inode64" if spec.kernel.has(Feature.TMPFS_INODE64) else ""
    default = spec.default_hugepage_kbytes
    others = [kbytes for kbytes in spec.hugepage_sizes_kbytes if kbytes != default]
    return [
        ("rootfs", "/", "rootfs", f"rw,{size}{last}", "0", "0"),
        ("proc", "/proc", "proc", "rw,relatime", "0", "0"),
        ("sys", "/sys", "sysfs", "rw,relatime", "0", "0"),
        ("dev", "/dev", "devtmpfs", f"rw,relatime,{size},mode=755{last}", "0", "0"),
        _hugetlbfs("/dev/hugepages", default),
        *(_hugetlbfs(f"/dev/hugepages-{format_size(kbytes << 10)}", kbytes) for kbytes in others),
    ]


def _hugetlbfs(where: str, kbytes: int) -> tuple[str, ...]:
    return "none", where, "hugetlbfs", f"rw,relatime,pagesize={kbytes >> 10}M", "0", "0"
