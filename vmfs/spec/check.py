"""What makes a description one of a machine: sums, duplicates, distances, limits of the architecture."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from vmfs.kernel import Arch
from vmfs.spec.sizes import SpecError, format_size, parse_size

if TYPE_CHECKING:
    from vmfs.spec.model import Spec

NR_CPUS = {Arch.X86_64: 8192, Arch.I386: 32}  # as distributions configure them
MAX_NUMNODES = {Arch.X86_64: 1024, Arch.I386: 1}
MEMORY_LIMIT = {Arch.X86_64: 4 << 50, Arch.I386: 4 << 30}  # 52 bits; 32 without PAE
HUGEPAGE_KBYTES = {Arch.X86_64: (1048576, 2048), Arch.I386: (4096,)}
SMALLEST_FIRST_NODE = 128 << 20
GRANULE = 1 << 20
LOCAL_DISTANCE, UNREACHABLE = 10, 255
MAX_SWAPFILES = 28
DISKS_MAX = 16
TASK_SIZES = ("anon", "file", "shmem")
TASK_OPTIONS = (
    *TASK_SIZES,
    *("huge", "thp", "mlock", "node", "policy", "oom_score_adj", "uid", "grow", "touch"),
)


def check(spec: Spec) -> None:
    """Raises SpecError for the first thing that is wrong."""
    for rule in (_nodes, _cpus, _distances, _hugepages, _swaps, _zones, _loads, _firmware):
        rule(spec)


def _require(fine: object, message: str) -> None:
    if not fine:
        raise SpecError(message)


def _nodes(spec: Spec) -> None:
    arch = spec.kernel.arch
    _require(spec.nodes, "node: none given; accepted: one [[node]] or more")
    most = MAX_NUMNODES[arch]
    _require(len(spec.nodes) <= most, f"node: {len(spec.nodes)} of them; accepted on {arch.value}: {most}")
    for nid, node in enumerate(spec.nodes):
        size = node.memory_bytes
        fits = size % GRANULE == 0
        _require(fits, f"node {nid}: memory: {format_size(size)}; accepted: whole mebibytes")
    first = spec.nodes[0].memory_bytes
    _require(first >= SMALLEST_FIRST_NODE, f"node 0: memory: {format_size(first)}; accepted: 128M or more")
    _require(not spec.nodes[0].movable, "node 0: movable: true; accepted: false, the kernel lives there")
    total, limit = spec.memory_bytes, MEMORY_LIMIT[arch]
    _require(total <= limit, f"node: memory: {format_size(total)} in all; accepted on {arch.value}: "
             f"{format_size(limit)}")  # fmt: skip


def _cpus(spec: Spec) -> None:
    owners = Counter(c for node in spec.nodes for c in node.cpus)
    twice = sorted(c for c, count in owners.items() if count > 1)
    _require(not twice, f"node: cpus: CPU {twice[:1]} is given twice; accepted: each CPU once")
    _require(0 in owners, "node: cpus: no CPU 0; accepted: a machine boots on CPU 0")
    most = NR_CPUS[spec.kernel.arch]
    _require(max(owners) < most, f"node: cpus: CPU {max(owners)}; accepted: below {most}")
    possible = spec.possible_cpus
    _require(not possible or max(owners) < possible <= most, f"cpu.possible: {possible}; accepted: 0, "
             f"or {max(owners) + 1} to {most}")  # fmt: skip
    for key in ("sockets", "threads_per_core"):
        _require(1 <= getattr(spec.cpu, key) <= len(owners), f"cpu.{key}: {getattr(spec.cpu, key)}; "
                 f"accepted: 1 to {len(owners)}, the number of CPUs")  # fmt: skip
    _require(len(owners) % (spec.cpu.sockets * spec.cpu.threads_per_core) == 0, "cpu: "
             f"{len(owners)} CPUs do not fill {spec.cpu.sockets} sockets of {spec.cpu.threads_per_core} "
             "threads a core evenly; accepted: a divisor of the number of CPUs")  # fmt: skip


def _distances(spec: Spec) -> None:
    # drivers/acpi/numa/srat.c: slit_valid()
    count = len(spec.nodes)
    for nid, node in enumerate(spec.nodes):
        if node.distances:
            given = len(node.distances)
            _require(given == count, f"node {nid}: distances: {given} of them; accepted: {count}, one a node")
        for other, distance in enumerate(node.distances):
            fits = distance == LOCAL_DISTANCE if other == nid else LOCAL_DISTANCE < distance <= UNREACHABLE
            _require(fits, f"node {nid}: distances: {distance} to node {other}; accepted: 10 to itself, "
                     "11 to 255 to another")  # fmt: skip
    described = {bool(node.distances) for node in spec.nodes}
    _require(len(described) <= 1, "node: distances: given for some nodes; accepted: for all or for none")


def _hugepages(spec: Spec) -> None:
    known = HUGEPAGE_KBYTES[spec.kernel.arch]
    sizes = spec.hugepage_sizes_kbytes
    names = ", ".join(format_size(kb << 10) for kb in known)
    _require(sizes, f"hugepages.sizes: none; accepted: one or more of {names}")
    wrong = [kb for kb in sizes if kb not in known]
    _require(not wrong, f"hugepages.sizes: {format_size(wrong[0] << 10) if wrong else ''}; accepted: {names}")
    _require(sizes == tuple(sorted(set(sizes), reverse=True)), "hugepages.sizes: not from large to small; "
             f"accepted: any of {names} in this order")  # fmt: skip
    default = spec.hugepages.default_kbytes
    _require(default in (None, *sizes), f"hugepages.default: {format_size((default or 0) << 10)}; accepted: "
             f"one of hugepages.sizes")  # fmt: skip
    for kb, count in spec.hugepages.pool.items():
        _require(kb in sizes, f"hugepages.pool: {format_size(kb << 10)}; accepted: one of hugepages.sizes")
        _require(count >= 0, f"hugepages.pool: {count} pages; accepted: 0 or more")
    held = sum(kb * count for kb, count in spec.hugepages.pool.items()) << 10
    _require(held <= spec.memory_bytes, f"hugepages.pool: {format_size(held)} in all; accepted: no more than "
             f"the nodes' {format_size(spec.memory_bytes)}")  # fmt: skip


def _swaps(spec: Spec) -> None:
    _require(len(spec.swaps) <= MAX_SWAPFILES, f"swap: {len(spec.swaps)}; accepted: {MAX_SWAPFILES} areas")
    names = Counter(swap.name for swap in spec.swaps)
    for index, swap in enumerate(spec.swaps):
        where = f"swap {index}"
        _require(names[swap.name] == 1, f"{where}: name: {swap.name!r} twice; accepted: each area once")
        fits = swap.kind in {"partition", "file"}
        _require(fits, f"{where}: kind: {swap.kind!r}; accepted: partition, file")
        _require(swap.size_bytes >= 2 * 4096, f"{where}: size: {swap.size_bytes}; accepted: 8K or more")
        fits = swap.priority is None or 0 <= swap.priority <= (1 << 15) - 1
        _require(fits, f"{where}: priority: {swap.priority}; accepted: 0 to 32767, or none")


def _zones(spec: Spec) -> None:
    for key in ("movablecore", "kernelcore"):
        size = getattr(spec, f"{key}_bytes")
        fits = 0 <= size < spec.memory_bytes
        _require(fits, f"{key}: {format_size(size)}; accepted: less than the nodes' "
                 f"{format_size(spec.memory_bytes)}")  # fmt: skip
    initrd, most = spec.initrd_bytes or 0, spec.nodes[0].memory_bytes // 4
    _require(initrd <= most, f"initrd: {format_size(initrd)}; accepted: up to {format_size(most)}, "
             "a quarter of node 0")  # fmt: skip


def _loads(spec: Spec) -> None:
    room = spec.memory_bytes + sum(swap.size_bytes for swap in spec.swaps)
    wanted = 0
    for task in spec.tasks:
        for key, value in task.options.items():
            where = f"task {task.name!r}: {key}"
            _require(key in TASK_OPTIONS, f"{where}: unknown; accepted: {', '.join(TASK_OPTIONS)}")
            wanted += _size(where, value) if key in TASK_SIZES else 0
    _require(wanted <= room, f"task: {format_size(wanted)} in all; accepted: no more than memory and swap, "
             f"{format_size(room)}")  # fmt: skip
    cached = spec.page_cache.size_bytes
    _require(cached <= spec.memory_bytes, f"page_cache.size: {format_size(cached)}; accepted: no more than "
             f"the nodes' {format_size(spec.memory_bytes)}")  # fmt: skip


def _size(where: str, value: str) -> int:
    # "N%" is of MemTotal, which only boot knows.
    if value.endswith("%"):
        return 0
    try:
        return parse_size(value)
    except SpecError as error:
        raise SpecError(f"{where}: {error}") from None


def _firmware(spec: Spec) -> None:
    below = spec.firmware.memory_below_4g_bytes
    fits = below is None or 64 << 20 <= below <= (4 << 30) - (16 << 20)
    _require(fits, f"firmware.memory_below_4g: {format_size(below or 0)}; accepted: 64M to 4080M")
    reserved = spec.firmware.reserved_bytes
    fits = reserved % 4096 == 0 and 0 <= reserved <= 16 << 20
    _require(fits, f"firmware.reserved: {format_size(reserved)}; accepted: whole pages of 4K, up to 16M")
    disks = spec.firmware.disks
    _require(0 <= disks <= DISKS_MAX, f"firmware.disks: {disks}; accepted: 0 to {DISKS_MAX}")
