"""A machine's TOML: built-in or a file. The tables below are the keys there are, one row a key."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from vmfs.kernel import RELEASES, Arch, Kernel, Release, release_of
from vmfs.spec import cpu
from vmfs.spec.model import Firmware, HugePages, NodeSpec, PageCacheSpec, Spec, SwapSpec, TaskSpec
from vmfs.spec.sizes import SpecError, format_size, parse_list, parse_size

Raw = Mapping[str, Any]
Reader = Callable[[Any], Any]
Row = tuple[str, Reader]  # the field it fills, and how

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
    parent = _find(_string(raw.pop(LIKE), LIKE), source.parent if isinstance(source, Path) else None)
    base = _at(f"{LIKE}: {parent.name}", lambda file: _merged(file, (*above, str(source))), parent)
    shared = [k for k in raw if isinstance(raw[k], dict) and isinstance(base.get(k), dict)]
    return {**base, **raw, **{k: {**base[k], **raw[k]} for k in shared}}


def _parsed(source: Path | Traversable) -> dict[str, Any]:
    try:
        return tomllib.loads(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"{error.strerror}; accepted: a machine's TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"no TOML: {error}") from None


# Readers of one value. They raise SpecError without saying where; _table adds the key.


def _is(kind: type, word: str) -> Reader:
    def read(value: Any) -> Any:
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise SpecError(f"{value!r}; accepted: {word}")
        return value

    return read


def _string(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise SpecError(f"{where}: {value!r}; accepted: text")
    return value


_text = _is(str, "text")
_bool = _is(bool, "true or false")
_int = _is(int, "a whole number")


def _size(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str):
        return parse_size(value)
    raise SpecError(f'{value!r}; accepted: a size, as "512M", or a number of bytes')


def _list(value: Any) -> tuple[int, ...]:
    if isinstance(value, str):
        return parse_list(value)
    if isinstance(value, list):
        return tuple(_int(item) for item in value)
    return (_int(value),)


def _numbers(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise SpecError(f"{value!r}; accepted: a list of whole numbers, as [10, 21]")
    return tuple(_int(item) for item in value)


def _kbytes(value: Any) -> int:
    return _size(value) >> 10


def _sizes(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise SpecError(f'{value!r}; accepted: a list of sizes, as ["1G", "2M"]')
    return tuple(_kbytes(item) for item in value)


def _scalar(value: Any) -> str:
    """A value as it would be written to a sysctl's file, or after a control line's "key="."""
    if isinstance(value, list):
        return "\t".join(_scalar(item) for item in value)
    if isinstance(value, bool):
        return str(int(value))
    if not isinstance(value, (int, str)):
        raise SpecError(f"{value!r}; accepted: a number, text, or a list of numbers")
    return str(value)


def _kernel(value: Any) -> Release:
    release = release_of(_text(value))
    if release not in RELEASES:
        known = ", ".join(f"{major}.{minor}" for major, minor in RELEASES)
        raise SpecError(f"{value!r}; accepted: {known}")
    return release


def _arch(value: Any) -> Arch:
    by_text = {arch.value: arch for arch in Arch}
    if value not in by_text:
        raise SpecError(f"{value!r}; accepted: {', '.join(by_text)}")
    return by_text[value]


def _table(value: Any, rows: Mapping[str, Row]) -> dict[str, Any]:
    """The fields that a TOML table's keys fill."""
    if not isinstance(value, dict):
        raise SpecError(f"{value!r}; accepted: a table of {', '.join(rows)}")
    unknown = [key for key in value if key not in rows]
    if unknown:
        raise SpecError(f"{unknown[0]}: unknown key; accepted: {', '.join(rows)}")
    return {rows[key][0]: _at(key, rows[key][1], item) for key, item in value.items()}


def _at(where: str, read: Reader, value: Any) -> Any:
    try:
        return read(value)
    except SpecError as error:
        raise SpecError(f"{where}: {error}") from None


def _open_table(read: Reader, key: Reader = _text) -> Reader:
    """A table whose keys are not known beforehand."""

    def read_table(value: Any) -> dict[Any, Any]:
        if not isinstance(value, dict):
            raise SpecError(f"{value!r}; accepted: a table")
        return {_at(name, key, name): _at(name, read, item) for name, item in value.items()}

    return read_table


def _array(read_one: Reader) -> Reader:
    def read(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise SpecError(f"{value!r}; accepted: tables in [[double brackets]]")
        return tuple(_at(str(index), read_one, item) for index, item in enumerate(value))

    return read


def _one(kind: Callable[..., Any], rows: Mapping[str, Row], *required: str) -> Reader:
    def read(value: Any) -> Any:
        found = _table(value, rows)
        for key in required:
            if key not in value:
                raise SpecError(f"{key}: missing; accepted keys: {', '.join(rows)}")
        return kind(**found)

    return read


def _task(value: Any) -> TaskSpec:
    options = _open_table(_scalar)(value)
    name = options.pop("name", None)
    if name is None:
        raise SpecError("name: missing")
    return TaskSpec(name, options)


def _processor(value: Any) -> tuple[cpu.Cpu, int]:
    found = _table(value, CPU)
    possible = found.pop("possible", 0)
    return cpu.cpu(found.pop("model", "qemu-tcg"), **found), possible


NODE: dict[str, Row] = {
    "memory": ("memory_bytes", _size),
    "cpus": ("cpus", _list),
    "distances": ("distances", _numbers),
    "movable": ("movable", _bool),
}
SWAP: dict[str, Row] = {
    "size": ("size_bytes", _size),
    "name": ("name", _text),
    "kind": ("kind", _text),
    "priority": ("priority", _int),
}
HUGEPAGES: dict[str, Row] = {
    "default": ("default_kbytes", _kbytes),
    "sizes": ("sizes_kbytes", _sizes),
    "pool": ("pool", _open_table(_int, _kbytes)),
}
FIRMWARE: dict[str, Row] = {
    "memory_below_4g": ("memory_below_4g_bytes", _size),
    "reserved": ("reserved_bytes", _size),
    "disks": ("disks", _int),
}
PAGE_CACHE: dict[str, Row] = {"size": ("size_bytes", _size), "files": ("files", _int)}
_entries = _open_table(_int, _kbytes)
TLB: dict[str, Row] = {
    "l1": ("l1", _entries),
    "l2": ("l2", _entries),
    "l2_hit_cycles": ("l2_hit_cycles", _int),
    "walk_cycles": ("walk_cycles", _int),
}
CPU: dict[str, Row] = {
    "model": ("model", _text),
    "sockets": ("sockets", _int),
    "threads_per_core": ("threads_per_core", _int),
    "possible": ("possible", _int),
    "mhz": ("mhz", _text),
    "bogomips": ("bogomips", _text),
    "flags": ("flags", _text),
    "tlb": ("tlb", lambda value: _table(value, TLB)),
}
MACHINE: dict[str, Row] = {
    "name": ("name", _text),
    "description": ("description", _text),
    "kernel": ("kernel", _kernel),
    "arch": ("arch", _arch),
    "seed": ("seed", _int),
    "cmdline": ("cmdline", _text),
    "movablecore": ("movablecore_bytes", _size),
    "kernelcore": ("kernelcore_bytes", _size),
    "initrd": ("initrd_bytes", _size),
    "cpu": ("cpu", _processor),
    "firmware": ("firmware", _one(Firmware, FIRMWARE)),
    "hugepages": ("hugepages", _one(HugePages, HUGEPAGES)),
    "page_cache": ("page_cache", _one(PageCacheSpec, PAGE_CACHE)),
    "sysctl": ("sysctl", _open_table(_scalar)),
    "node": ("nodes", _array(_one(NodeSpec, NODE, "memory"))),
    "swap": ("swaps", _array(_one(SwapSpec, SWAP, "size", "name"))),
    "task": ("tasks", _array(_task)),
}


def _spec(raw: Raw) -> Spec:
    found = _table(dict(raw), MACHINE)
    kernel = Kernel.of(found.pop("kernel", DEFAULT_RELEASE), found.pop("arch", Arch.X86_64))
    if "cpu" in found:
        found["cpu"], found["possible_cpus"] = found["cpu"]
    if "nodes" not in found:
        raise SpecError("node: missing; accepted: one [[node]] or more, each with memory and cpus")
    return Spec(kernel=kernel, **found)


__all__ = ["DEFAULT_RELEASE", "builtin", "format_size", "load", "text"]
