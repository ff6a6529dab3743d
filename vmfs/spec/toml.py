"""A machine's TOML: built-in or a file. The tables below are the keys there are, one row a key."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from vmfs.kernel import RELEASES, Arch, Kernel, Release, release_of
from vmfs.spec import cpu, readers
from vmfs.spec.model import Firmware, HugePages, NodeSpec, PageCacheSpec, Spec, SwapSpec, TaskSpec
from vmfs.spec.readers import Row
from vmfs.spec.sizes import SpecError

Raw = Mapping[str, Any]

DEFAULT_RELEASE: Release = (6, 12)
LIKE = "like"  # the machine a description starts from


def builtin() -> tuple[str, ...]:
    """The names of the built-in machines."""
    files = (f.name for f in _machines().iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in files if name.endswith(".toml")))


def text(name: str) -> str:
    """The TOML of a built-in machine."""
    return _find(name, None).read_text()


def load(name_or_path: str | Path, kernel: str | Release | None = None, seed: int | None = None) -> Spec:
    """A built-in machine by name, or a file's; `kernel` and `seed` go before what it says."""
    source = _find(str(name_or_path), None)
    label = str(name_or_path) if isinstance(source, Path) else f"machine {name_or_path}"
    try:
        raw = {"name": _stem(source), **_merged(source, ())}
        if kernel is not None:
            raw["kernel"] = kernel if isinstance(kernel, str) else f"{kernel[0]}.{kernel[1]}"
        return _spec(raw if seed is None else {**raw, "seed": seed})
    except SpecError as error:
        raise SpecError(f"{label}: {error}") from None


def _machines() -> Traversable:
    return resources.files("vmfs").joinpath("machines")


def _find(name: str, beside: Path | None) -> Path | Traversable:
    """A name without a dot or slash is a built-in machine's; a path in a file starts at the file."""
    if "/" in name or name.endswith(".toml"):
        return beside / name if beside else Path(name)
    found = _machines().joinpath(f"{name}.toml")
    if not found.is_file():
        known = ", ".join(builtin())
        raise SpecError(f"no machine {name!r}; accepted: {known}, or a file's path as ./{name}.toml")
    return found


def _stem(source: Path | Traversable) -> str:
    return source.name.removesuffix(".toml")


def _merged(source: Path | Traversable, above: tuple[str, ...]) -> dict[str, Any]:
    """The keys of a file over those of the machine it is like; a table's keys are merged one by one."""
    if str(source) in above:
        cycle = " -> ".join(Path(p).name for p in (*above[above.index(str(source)) :], str(source)))
        raise SpecError(f"{LIKE}: {cycle} is a cycle; accepted: a machine that does not come back here")
    raw = _parsed(source)
    if LIKE not in raw:
        return raw
    beside = source.parent if isinstance(source, Path) else None
    parent = _find(readers.at(LIKE, readers.text, raw.pop(LIKE)), beside)
    base = readers.at(f"{LIKE}: {parent.name}", lambda file: _merged(file, (*above, str(source))), parent)
    shared = [k for k in raw if isinstance(raw[k], dict) and isinstance(base.get(k), dict)]
    return {**base, **raw, **{k: {**base[k], **raw[k]} for k in shared}}


def _parsed(source: Path | Traversable) -> dict[str, Any]:
    try:
        return tomllib.loads(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"{error.strerror}; accepted: a machine's TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"no TOML: {error}") from None


def _kernel(value: Any) -> Release:
    release = release_of(readers.text(value))
    if release not in RELEASES:
        known = ", ".join(f"{major}.{minor}" for major, minor in RELEASES)
        raise SpecError(f"{value!r}; accepted: {known}")
    return release


def _arch(value: Any) -> Arch:
    by_text = {arch.value: arch for arch in Arch}
    if value not in by_text:
        raise SpecError(f"{value!r}; accepted: {', '.join(by_text)}")
    return by_text[value]


def _task(value: Any) -> TaskSpec:
    options = readers.open_table(readers.scalar)(value)
    name = options.pop("name", None)
    if name is None:
        raise SpecError("name: missing")
    return TaskSpec(name, options)


def _processor(value: Any) -> tuple[cpu.Cpu, int]:
    found = readers.table(value, CPU)
    possible = found.pop("possible", 0)
    return cpu.cpu(found.pop("model", "qemu-tcg"), **found), possible


NODE: dict[str, Row] = {
    "memory": ("memory_bytes", readers.size),
    "cpus": ("cpus", readers.id_list),
    "distances": ("distances", readers.numbers),
    "movable": ("movable", readers.boolean),
}
SWAP: dict[str, Row] = {
    "size": ("size_bytes", readers.size),
    "name": ("name", readers.text),
    "kind": ("kind", readers.text),
    "priority": ("priority", readers.integer),
}
HUGEPAGES: dict[str, Row] = {
    "default": ("default_kbytes", readers.kbytes),
    "sizes": ("sizes_kbytes", readers.sizes_kbytes),
    "pool": ("pool", readers.open_table(readers.integer, readers.kbytes)),
}
FIRMWARE: dict[str, Row] = {
    "memory_below_4g": ("memory_below_4g_bytes", readers.size),
    "reserved": ("reserved_bytes", readers.size),
    "disks": ("disks", readers.integer),
}
PAGE_CACHE: dict[str, Row] = {"size": ("size_bytes", readers.size), "files": ("files", readers.integer)}
_entries = readers.open_table(readers.integer, readers.kbytes)
TLB: dict[str, Row] = {
    "l1": ("l1", _entries),
    "l2": ("l2", _entries),
    "l2_hit_cycles": ("l2_hit_cycles", readers.integer),
    "walk_cycles": ("walk_cycles", readers.integer),
}
CPU: dict[str, Row] = {
    "model": ("model", readers.text),
    "sockets": ("sockets", readers.integer),
    "threads_per_core": ("threads_per_core", readers.integer),
    "possible": ("possible", readers.integer),
    "mhz": ("mhz", readers.text),
    "bogomips": ("bogomips", readers.text),
    "flags": ("flags", readers.text),
    "tlb": ("tlb", lambda value: readers.table(value, TLB)),
}
MACHINE: dict[str, Row] = {
    "name": ("name", readers.text),
    "description": ("description", readers.text),
    "kernel": ("kernel", _kernel),
    "arch": ("arch", _arch),
    "seed": ("seed", readers.integer),
    "cmdline": ("cmdline", readers.text),
    "movablecore": ("movablecore_bytes", readers.size),
    "kernelcore": ("kernelcore_bytes", readers.size),
    "initrd": ("initrd_bytes", readers.size),
    "cpu": ("cpu", _processor),
    "firmware": ("firmware", readers.one(Firmware, FIRMWARE)),
    "hugepages": ("hugepages", readers.one(HugePages, HUGEPAGES)),
    "page_cache": ("page_cache", readers.one(PageCacheSpec, PAGE_CACHE)),
    "sysctl": ("sysctl", readers.open_table(readers.scalar)),
    "node": ("nodes", readers.array(readers.one(NodeSpec, NODE, "memory"))),
    "swap": ("swaps", readers.array(readers.one(SwapSpec, SWAP, "size", "name"))),
    "task": ("tasks", readers.array(_task)),
}


def _spec(raw: Raw) -> Spec:
    found = readers.table(dict(raw), MACHINE)
    kernel = Kernel.of(found.pop("kernel", DEFAULT_RELEASE), found.pop("arch", Arch.X86_64))
    if "cpu" in found:
        found["cpu"], found["possible_cpus"] = found["cpu"]
    if "nodes" not in found:
        raise SpecError("node: missing; accepted: one [[node]] or more, each with memory and cpus")
    return Spec(kernel=kernel, **found)
