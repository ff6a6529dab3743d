"""Processors by name: what /proc/cpuinfo tells about them, and what paging they can do."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from importlib import resources
from typing import Any

from vmfs.spec.sizes import SpecError, parse_size
from vmfs.spec.tlb import Tlb

LEVELS = ("l1", "l2")


@dataclass(frozen=True, slots=True)
class Cpu:
    """One of a machine's equal processors. `mhz` and `bogomips` are text, as the file shows them."""

    name: str
    vendor_id: str
    family: int
    model: int
    model_name: str
    stepping: int
    microcode: str
    mhz: str
    cache_kbytes: int
    cpuid_level: int
    flags: str
    bugs: str
    bogomips: str
    tlb_size: str = ""  # of AMD's: "1024 4K pages"
    clflush_size: int = 64
    physical_bits: int = 46
    sockets: int = 1
    threads_per_core: int = 1
    tlb: Tlb = field(default_factory=Tlb)

    def has(self, flag: str) -> bool:
        return flag in self.flags.split()

    @property
    def la57(self) -> bool:
        """It can do 5-level page tables; whether they are used is the kernel's decision."""
        return self.has("la57")

    @property
    def gigabyte_pages(self) -> bool:
        return self.has("pdpe1gb")

    @property
    def hypervisor(self) -> bool:
        """It is a guest's: firmware and devices are a virtual machine's."""
        return self.has("hypervisor")


@cache
def models() -> dict[str, Cpu]:
    """The processors of vmfs/data/cpus.toml."""
    raw = tomllib.loads(resources.files("vmfs.data").joinpath("cpus.toml").read_text())
    return {name: Cpu(name=name, tlb=_tlb(values.pop("tlb", {})), **values) for name, values in raw.items()}


def _tlb(values: dict[str, Any]) -> Tlb:
    """Levels are tables of page sizes."""
    levels = {
        name: {parse_size(size) >> 10: n for size, n in values.pop(name, {}).items()} for name in LEVELS
    }
    return Tlb().changed(levels | values)


def cpu(name: str, tlb: Mapping[str, Any] | None = None, **changes: str | int) -> Cpu:
    """A processor by name, with some of its fields replaced; of `tlb` only what is named."""
    if name not in models():
        raise SpecError(f"cpu.model: no processor {name!r}; accepted: {', '.join(models())}")
    model = models()[name]
    return replace(model, tlb=model.tlb.changed(tlb or {}), **changes)  # type: ignore[arg-type]


CHANGEABLE = tuple(f.name for f in fields(Cpu) if f.name not in {"name", "model"})
