"""What a described machine consists of. Sizes in bytes; nothing here knows how memory is managed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vmfs.kernel import Arch, Kernel
from vmfs.spec import check
from vmfs.spec.cpu import Cpu, cpu

LOCAL_DISTANCE, REMOTE_DISTANCE = 10, 20  # where firmware has no SLIT


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """`distances` to all nodes in order; none for 10 and 20. `movable`: all of it is hot-pluggable."""

    memory_bytes: int
    cpus: tuple[int, ...] = ()
    distances: tuple[int, ...] = ()
    movable: bool = False


@dataclass(frozen=True, slots=True)
class SwapSpec:
    """An area switched on at boot; without a priority the kernel gives -2, -3, ..."""

    size_bytes: int
    name: str
    kind: str = "partition"
    priority: int | None = None


@dataclass(frozen=True, slots=True)
class HugePages:
    """`pool` says how many pages of a size (in KiB) the command line asked for, spread over the nodes."""

    default_kbytes: int | None = None
    sizes_kbytes: tuple[int, ...] | None = None
    pool: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """A process started at boot: `options` are those of the control line `start`."""

    name: str
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PageCacheSpec:
    """Files read at boot."""

    size_bytes: int = 0
    files: int = 0


@dataclass(frozen=True, slots=True)
class Firmware:
    """The memory map: how much memory lies below 4 GiB, and what the firmware keeps at its top.

    None stands for a PC's habit: 3.5 GiB, or 3 GiB where there is more memory than that.
    """

    memory_below_4g_bytes: int | None = None
    reserved_bytes: int = 164 << 10
    disks: int = 3  # PCI devices with memory windows


@dataclass(frozen=True, slots=True)
class Spec:
    """A machine. Checks itself: SpecError names the key as the TOML file spells it."""

    name: str
    kernel: Kernel
    nodes: tuple[NodeSpec, ...]
    seed: int = 0
    description: str = ""
    cmdline: str = "BOOT_IMAGE=/boot/vmlinuz root=/dev/vda1 ro quiet"
    cpu: Cpu = field(default_factory=lambda: cpu("qemu-tcg"))
    possible_cpus: int = 0  # CPUs that could be plugged; 0: those there are
    firmware: Firmware = field(default_factory=Firmware)
    hugepages: HugePages = field(default_factory=HugePages)
    swaps: tuple[SwapSpec, ...] = ()
    movablecore_bytes: int = 0
    kernelcore_bytes: int = 0
    initrd_bytes: int | None = None  # None: as the recordings of the release have it
    sysctl: Mapping[str, str] = field(default_factory=dict)
    tasks: tuple[TaskSpec, ...] = ()
    page_cache: PageCacheSpec = field(default_factory=PageCacheSpec)

    def __post_init__(self) -> None:
        check.check(self)

    @property
    def cpus(self) -> tuple[int, ...]:
        """The online CPUs of all nodes, ascending."""
        return tuple(sorted(c for node in self.nodes for c in node.cpus))

    @property
    def nr_cpu_ids(self) -> int:
        return max(self.possible_cpus, self.cpus[-1] + 1)

    @property
    def nr_possible_cpus(self) -> int:
        return max(self.possible_cpus, len(self.cpus))

    @property
    def memory_bytes(self) -> int:
        return sum(node.memory_bytes for node in self.nodes)

    @property
    def hugepage_sizes_kbytes(self) -> tuple[int, ...]:
        """In the kernel's order, the largest first: what the CPU can do, unless told."""
        if self.hugepages.sizes_kbytes is not None:
            return self.hugepages.sizes_kbytes
        if self.kernel.arch is Arch.I386:
            return (4096,) if self.cpu.has("pse") else ()
        return (1048576, 2048) if self.cpu.gigabyte_pages else (2048,)

    @property
    def default_hugepage_kbytes(self) -> int:
        return self.hugepages.default_kbytes or min(self.hugepage_sizes_kbytes, default=2048)

    def distances(self, nid: int) -> tuple[int, ...]:
        """node_distance() from that node to every node."""
        described = self.nodes[nid].distances
        nids = range(len(self.nodes))
        return described or tuple(LOCAL_DISTANCE if nid == other else REMOTE_DISTANCE for other in nids)
