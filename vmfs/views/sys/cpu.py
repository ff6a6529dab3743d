"""/sys/devices/system/cpu, as drivers/base/cpu.c, topology.c and cacheinfo.c lay it out.

Which CPUs there are is fixed: none is brought up or taken down.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from vmfs.kernel import Feature
from vmfs.mm.topology import LINE_BYTES, Cache, Topology
from vmfs.views.entry import Dir, File, Link, top
from vmfs.views.kstrtox import kstrtobool
from vmfs.views.seq import id_list, id_mask
from vmfs.views.sys.device import POWER, UEVENT, bus

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

NR_CPUS = {True: 8192, False: 32}
"""CONFIG_NR_CPUS as the distributions set it, for NUMA kernels and for 32-bit ones."""


class CpuDir(NamedTuple):
    """What the files of cpuN are about."""

    machine: Machine
    topology: Topology
    cpu: int


class CacheDir(NamedTuple):
    """What the files of cpuN/cache/indexM are about."""

    machine: Machine
    cache: Cache
    cpu: int


def each_cpu(machine: Machine) -> Iterator[tuple[tuple[int], CpuDir]]:
    """Present CPUs; those that are offline have no topology."""
    topology = Topology.of(machine)
    return (((cpu,), CpuDir(machine, topology, cpu)) for cpu in machine.hardware.present_cpus)


def each_online(machine: Machine) -> Iterator[tuple[tuple[int], CpuDir]]:
    return (each for each in each_cpu(machine) if each[1].cpu in each[1].topology.seats)


def each_cache(machine: Machine) -> Iterator[tuple[tuple[int, int], CacheDir]]:
    for (cpu,), where in each_online(machine):
        for index, cache in enumerate(where.topology.caches(cpu)):
            yield (cpu, index), CacheDir(machine, cache, cpu)


def cpus(name: str, members: Callable[[Machine], Any]) -> File[Machine]:
    return File(name, lambda m: f"{id_list(members(m))}\n")


def offline(machine: Machine) -> list[int]:
    return sorted(set(range(machine.hardware.nr_cpu_ids)) - set(machine.hardware.online_cpus))


def kernel_max(machine: Machine) -> str:
    return f"{NR_CPUS[machine.kernel.has(Feature.NUMA)] - 1}\n"


def smt_active(machine: Machine) -> str:
    return f"{int(Topology.of(machine).smt)}\n"


def smt_control(machine: Machine) -> str:
    """kernel/cpu.c: control_show()."""
    return "on\n" if Topology.of(machine).smt else "notsupported\n"


def online(d: CpuDir) -> str:
    return f"{int(d.cpu in d.machine.hardware.online_cpus)}\n"


def online_store(d: CpuDir, data: bytes, _offset: int) -> int:
    """A CPU keeps its state: EBUSY, as for a CPU that cannot go."""
    if kstrtobool(data, d.machine.kernel) is not (d.cpu in d.machine.hardware.online_cpus):
        raise OSError(errno.EBUSY, "CPUs are not hotplugged")
    return len(data)


Members = Callable[[CpuDir], tuple[int, ...]]


def siblings(
    mask: str, listing: str, members: Members, needs: Feature = Feature.BASE
) -> tuple[File[CpuDir], ...]:
    """A set of CPUs, as a mask and as a list."""
    return (
        File(mask, lambda d: f"{id_mask(members(d), d.machine.hardware.nr_cpu_ids)}\n", needs=needs),
        File(listing, lambda d: f"{id_list(members(d))}\n", needs=needs),
    )


def package_cpus(d: CpuDir) -> tuple[int, ...]:
    return d.topology.package_cpus(d.cpu)


def core_cpus(d: CpuDir) -> tuple[int, ...]:
    return d.topology.core_cpus(d.cpu)


TOPOLOGY: tuple[File[CpuDir], ...] = (
    *siblings("cluster_cpus", "cluster_cpus_list", core_cpus, Feature.CPU_CLUSTERS),
    File("cluster_id", lambda _: "65535\n", needs=Feature.CPU_CLUSTERS),
    *siblings("core_cpus", "core_cpus_list", core_cpus),
    File("core_id", lambda d: f"{d.topology.seats[d.cpu].core}\n"),
    *siblings("core_siblings", "core_siblings_list", package_cpus),
    *siblings("die_cpus", "die_cpus_list", package_cpus),
    File("die_id", lambda _: "0\n"),
    *siblings("package_cpus", "package_cpus_list", package_cpus),
    File("physical_package_id", lambda d: f"{d.topology.seats[d.cpu].package}\n"),
    *siblings("thread_siblings", "thread_siblings_list", core_cpus),
)

CACHE: tuple[File[CacheDir], ...] = (
    File("coherency_line_size", lambda _: f"{LINE_BYTES}\n"),
    File("id", lambda d: f"{min(d.cache.shared)}\n"),
    File("level", lambda d: f"{d.cache.level}\n"),
    File("number_of_sets", lambda d: f"{d.cache.sets}\n"),
    File("physical_line_partition", lambda _: "1\n"),
    File("shared_cpu_list", lambda d: f"{id_list(d.cache.shared)}\n"),
    File("shared_cpu_map", lambda d: f"{id_mask(d.cache.shared, d.machine.hardware.nr_cpu_ids)}\n"),
    File("size", lambda d: f"{d.cache.kbytes}K\n"),
    File("type", lambda d: f"{d.cache.kind}\n"),
    File("ways_of_associativity", lambda d: f"{d.cache.ways}\n"),
)


def cpu_links(d: CpuDir) -> Iterator[tuple[str, str]]:
    """The node of the CPU, where the kernel has nodes."""
    if d.machine.kernel.has(Feature.NUMA):
        yield from ((f"node{n.nid}", f"../../node/node{n.nid}") for n in d.machine.nodes if d.cpu in n.cpus)


def each_hotpluggable(machine: Machine) -> Iterator[tuple[tuple[int], CpuDir]]:
    """x86 cannot do without the CPU that booted."""
    return (each for each in each_cpu(machine) if each[1].cpu)


CPU: tuple[File[CpuDir] | Link[CpuDir], ...] = (
    Link("subsystem", lambda _: "../../../../bus/cpu"),
    UEVENT,
)

DIRS: tuple[Dir[Any], ...] = (
    top(
        "/sys/devices/system/cpu",
        File("isolated", lambda _: "\n"),
        File("kernel_max", kernel_max),
        cpus("offline", offline),
        cpus("online", lambda m: m.hardware.online_cpus),
        cpus("possible", lambda m: range(m.hardware.nr_cpu_ids)),
        cpus("present", lambda m: m.hardware.present_cpus),
        UEVENT,
    ),
    top("/sys/devices/system/cpu/smt", File("active", smt_active), File("control", smt_control)),
    bus("cpu", lambda m: m.hardware.present_cpus),
    Dir("/sys/devices/system/cpu/cpu{}/power", POWER, each_cpu),
    Dir("/sys/devices/system/cpu/cpu{}", CPU, each_cpu, links=cpu_links),
    Dir("/sys/devices/system/cpu/cpu{}", (File("online", online, online_store),), each_hotpluggable),
    Dir("/sys/devices/system/cpu/cpu{}/topology", TOPOLOGY, each_online),
    Dir("/sys/devices/system/cpu/cpu{}/cache/index{}", CACHE, each_cache),
)
