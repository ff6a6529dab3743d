"""The recorded machine: its nodes, and how QEMU is told."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import combinations

from vmfs.spec.sizes import SpecError, parse_list, parse_size

LOCAL, REMOTE = 10, 20
LEAST_MEBIBYTES = 384  # a Debian kernel, its initramfs and the loads


@dataclass(frozen=True, slots=True)
class Node:
    """`cpus` as the kernel lists them; a node without has only memory."""

    mebibytes: int
    cpus: str


@dataclass(frozen=True, slots=True)
class Hardware:
    """No nodes: firmware tells of none. `distances` by pair, the lower first."""

    mebibytes: int
    cpus: int
    nodes: tuple[Node, ...] = ()
    distances: dict[tuple[int, int], int] = field(default_factory=dict)

    @property
    def last_node(self) -> int:
        return max(len(self.nodes) - 1, 0)

    def qemu(self) -> list[str]:
        """-m, -smp and -numa."""
        words = ["-m", f"{self.mebibytes}M", "-smp", str(self.cpus)]
        if not self.nodes:
            words += [*_memory("m", self.mebibytes), "-machine", "memory-backend=m"]
        for nid, node in enumerate(self.nodes):
            cpus = "".join(f",cpus={part}" for part in node.cpus.split(",") if part)
            if node.mebibytes:
                words += _memory(f"m{nid}", node.mebibytes)
                words += ["-numa", f"node,nodeid={nid},memdev=m{nid}{cpus}"]
            else:
                words += ["-numa", f"node,nodeid={nid}{cpus}"]
        if self.distances:
            for a, b in combinations(range(len(self.nodes)), 2):
                words += ["-numa", f"dist,src={a},dst={b},val={self.distances.get((a, b), REMOTE)}"]
        return words

    def __str__(self) -> str:
        """The words of meta/machine.txt."""
        parts = [f"-smp {self.cpus} -m {_size(self.mebibytes, '')}"]
        for nid, node in enumerate(self.nodes):
            cpus = f"CPUs {node.cpus}" if node.cpus else "no CPUs"
            memory = _size(node.mebibytes, "iB") if node.mebibytes else "no memory"
            parts.append(f"node {nid}: {memory}, {cpus}")
        if self.distances:
            pairs = ", ".join(f"{a}-{b}: {n}" for (a, b), n in sorted(self.distances.items()))
            parts.append(f"distances {pairs}")
        elif len(self.nodes) > 1:
            parts.append(f"distance {REMOTE} (QEMU default)")
        return "; ".join(parts)


def _memory(name: str, mebibytes: int) -> list[str]:
    """The host keeps back none for it: a machine may be larger than the host, as it may not touch it all."""
    return ["-object", f"memory-backend-ram,id={name},size={mebibytes}M,reserve=off"]


def _size(mebibytes: int, ending: str) -> str:
    """ "2G", or "1536 MiB" with an ending."""
    whole, unit = (mebibytes >> 10, "G") if mebibytes % 1024 == 0 else (mebibytes, "M")
    return f"{whole} {unit}{ending}" if ending else f"{whole}{unit}"


def flat(memory: str, cpus: int) -> Hardware:
    """A machine without NUMA."""
    if cpus < 1:
        raise SpecError(f"--cpus {cpus}: accepted: 1 or more")
    return _checked(Hardware(_mebibytes(memory), cpus))


def numa(nodes: tuple[str, ...], distances: tuple[str, ...]) -> Hardware:
    """From the words of --node and --distance."""
    parsed = tuple(_node(word) for word in nodes)
    cpus = sorted(cpu for node in parsed for cpu in parse_list(node.cpus))
    if not cpus or cpus != list(range(len(cpus))):
        raise SpecError(f"--node: the CPUs of all nodes are {cpus}; accepted: each from 0 on once")
    with_cpus = [bool(node.cpus) for node in parsed]
    if with_cpus != sorted(with_cpus, reverse=True):
        raise SpecError(
            "--node: the kernel counts nodes without CPUs after the others; accepted: such nodes last"
        )
    pairs = dict(_distance(word, len(parsed)) for word in distances)
    return _checked(Hardware(sum(n.mebibytes for n in parsed), len(cpus), parsed, pairs))


def _checked(hardware: Hardware) -> Hardware:
    if hardware.mebibytes < LEAST_MEBIBYTES:
        raise SpecError(f"{hardware.mebibytes} MiB of memory; accepted: {LEAST_MEBIBYTES} MiB or more")
    return hardware


def _mebibytes(text: str) -> int:
    size = parse_size(text)
    if size % (1 << 20):
        raise SpecError(f"{text!r} is no whole number of MiB; accepted: sizes as 512M or 2G")
    return size >> 20


def _node(word: str) -> Node:
    memory, colon, cpus = word.partition(":")
    if not colon:
        raise SpecError(f"--node {word}: accepted: MEMORY:CPUS, as 1G:0-1, or 512M: for memory alone")
    parse_list(cpus)
    return Node(_mebibytes(memory), cpus)


def _distance(word: str, nodes: int) -> tuple[tuple[int, int], int]:
    found = re.fullmatch(r"(\d+)-(\d+)=(\d+)", word, re.ASCII)
    if found is None:
        raise SpecError(f"--distance {word}: accepted: A-B=N, as 0-1=21")
    a, b, value = map(int, found.groups())
    if not (a < nodes and b < nodes and a != b):
        raise SpecError(f"--distance {word}: accepted: two of the nodes 0 to {nodes - 1}")
    if not LOCAL < value <= 254:
        raise SpecError(f"--distance {word}: accepted: {LOCAL + 1} to 254")
    return (min(a, b), max(a, b)), value
