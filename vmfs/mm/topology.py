"""Where a CPU sits: package, core, caches (arch/x86/kernel/cpu/topology.c, cacheinfo.c).

Read out of what /proc/cpuinfo says; a CPU that says nothing is a core of its own in the package
of its node. The small caches are those of an ordinary server, since no file of a capture has
them; the last one is cpuinfo's "cache size".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

T = TypeVar("T")

LINE_BYTES = 64
SMALL_CACHES_KBYTES = 32
PRIVATE_L2_KBYTES = 1024


class Seat(NamedTuple):
    package: int
    core: int


@dataclass(frozen=True, slots=True)
class Cache:
    """A cache as one CPU sees it; `shared` are the CPUs behind it."""

    level: int
    kind: str
    kbytes: int
    ways: int
    shared: tuple[int, ...]

    @property
    def sets(self) -> int:
        return (self.kbytes << 10) // (self.ways * LINE_BYTES)


@dataclass(frozen=True, slots=True)
class Topology:
    """Of the online CPUs."""

    seats: dict[int, Seat]
    cache_kbytes: int
    cache_is_private: bool  # AMD's "cache size" is the core's, Intel's the package's
    _packages: dict[int, tuple[int, ...]]
    _cores: dict[Seat, tuple[int, ...]]

    @classmethod
    def of(cls, machine: Machine) -> Topology:
        facts = {
            int(cpu["processor"]): cpu for cpu in map(dict, machine.hardware.cpuinfo) if "processor" in cpu
        }
        first = next(iter(facts.values()), {})
        kbytes = int(first.get("cache size", "0 KB").split()[0])
        nodes = {cpu: node.nid for node in machine.nodes for cpu in node.cpus}
        seats = {
            cpu: _seat(facts.get(cpu, {}), nodes.get(cpu, 0), cpu) for cpu in machine.hardware.online_cpus
        }
        packages = _together({cpu: seat.package for cpu, seat in seats.items()})
        return cls(seats, kbytes, first.get("vendor_id") == "AuthenticAMD", packages, _together(seats))

    def package_cpus(self, cpu: int) -> tuple[int, ...]:
        """topology_core_cpumask()."""
        return self._packages[self.seats[cpu].package]

    def core_cpus(self, cpu: int) -> tuple[int, ...]:
        """topology_sibling_cpumask()."""
        return self._cores[self.seats[cpu]]

    @property
    def smt(self) -> bool:
        """Whether two CPUs share a core: cpu_smt_possible()."""
        return len(set(self.seats.values())) < len(self.seats)

    def caches(self, cpu: int) -> Iterator[Cache]:
        core = self.core_cpus(cpu)
        yield Cache(1, "Data", SMALL_CACHES_KBYTES, 8, core)
        yield Cache(1, "Instruction", SMALL_CACHES_KBYTES, 8, core)
        private = self.cache_kbytes if self.cache_is_private and self.cache_kbytes else PRIVATE_L2_KBYTES
        yield Cache(2, "Unified", private, 8, core)
        if self.cache_kbytes and not self.cache_is_private:
            yield Cache(3, "Unified", self.cache_kbytes, 16, self.package_cpus(cpu))


def _seat(facts: dict[str, str], nid: int, cpu: int) -> Seat:
    return Seat(int(facts.get("physical id", nid)), int(facts.get("core id", cpu)))


def _together(places: dict[int, T]) -> dict[T, tuple[int, ...]]:
    """The CPUs at each place."""
    found: dict[T, list[int]] = {}
    for cpu, place in places.items():
        found.setdefault(place, []).append(cpu)
    return {place: tuple(cpus) for place, cpus in found.items()}
