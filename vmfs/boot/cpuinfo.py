"""The paragraphs of /proc/cpuinfo (arch/x86/kernel/cpu/proc.c: show_cpuinfo())."""

from __future__ import annotations

from itertools import chain

from vmfs.kernel import Arch
from vmfs.spec import Cpu, Spec

Pairs = list[tuple[str, str]]
VIRTUAL_BITS = {True: 57, False: 48}  # of processors with and without 5-level page tables


def cpuinfo(spec: Spec, *, five_level: bool) -> list[Pairs]:
    """One list of (key, value) a CPU, ascending."""
    head, tail = _head(spec.cpu), _tail(spec, five_level=five_level)
    places = _topology(spec)
    return [[("processor", str(cpu)), *head, *places[cpu], *tail] for cpu in spec.cpus]


def _head(cpu: Cpu) -> Pairs:
    return [
        ("vendor_id", cpu.vendor_id),
        ("cpu family", str(cpu.family)),
        ("model", str(cpu.model)),
        ("model name", cpu.model_name),
        ("stepping", str(cpu.stepping)),
        ("microcode", cpu.microcode),
        ("cpu MHz", cpu.mhz),
        ("cache size", f"{cpu.cache_kbytes} KB"),
    ]


def _topology(spec: Spec) -> dict[int, Pairs]:
    """Cores are dealt to sockets node by node, in a socket as CPUs are numbered; second threads come last."""
    threads, sockets = spec.cpu.threads_per_core, spec.cpu.sockets
    first: list[int] = []
    rest: list[int] = []
    for node in spec.nodes:
        own = len(node.cpus) // threads or len(node.cpus)
        first += node.cpus[:own]
        rest += node.cpus[own:]
    per_socket = len(spec.cpus) // (sockets * threads)
    width = (per_socket * threads - 1).bit_length()
    places: dict[int, Pairs] = {}
    dealt = [*first, *rest]
    seats = (sorted(dealt[start : start + per_socket]) for start in range(0, len(dealt), per_socket))
    for index, cpu in enumerate(chain.from_iterable(seats)):
        core = index % (per_socket * sockets)
        thread = index // (per_socket * sockets)
        socket, core = divmod(core, per_socket)
        apicid = str((socket << width) + core * threads + thread)
        places[cpu] = _place(socket, core, per_socket, per_socket * threads, apicid)
    return places


def _place(socket: int, core: int, cores: int, siblings: int, apicid: str) -> Pairs:
    return [
        ("physical id", str(socket)),
        ("siblings", str(siblings)),
        ("core id", str(core)),
        ("cpu cores", str(cores)),
        ("apicid", apicid),
        ("initial apicid", apicid),
    ]


def _tail(spec: Spec, *, five_level: bool) -> Pairs:
    cpu, legacy = spec.cpu, spec.kernel.arch is Arch.I386
    flags = [flag for flag in cpu.flags.split() if flag != "la57" or five_level]
    old = [("fdiv_bug", "no"), ("f00f_bug", "no"), ("coma_bug", "no")] if legacy else []
    tlb = [("TLB size", cpu.tlb_size)] if cpu.tlb_size and not legacy else []
    virtual = 0 if legacy else VIRTUAL_BITS[cpu.la57]
    return [
        *old,
        ("fpu", "yes"),
        ("fpu_exception", "yes"),
        ("cpuid level", str(cpu.cpuid_level)),
        ("wp", "yes"),
        ("flags", " ".join(flags)),
        ("bugs", cpu.bugs),
        ("bogomips", cpu.bogomips),
        *tlb,
        ("clflush size", str(cpu.clflush_size)),
        ("cache_alignment", str(cpu.clflush_size)),
        ("address sizes", f"{cpu.physical_bits} bits physical, {virtual} bits virtual"),
        ("power management", ""),
    ]
