"""Saving and loading a machine. A saved file is data: loading one runs nothing but this package."""

from __future__ import annotations

import io
import lzma
import pickle
from enum import Enum
from typing import TYPE_CHECKING, Any

from vmfs.kernel import Arch, Feature, Kernel, Release

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

MAGIC = b"vmfs machine 1\n"
_ALLOWED = {
    ("collections", "deque"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.numeric", "_frombuffer"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.numeric", "_frombuffer"),
    ("builtins", "bytearray"),
}


class StateError(ValueError):
    """Not a saved machine, or one that this version cannot read."""


class _Pickler(pickle.Pickler):
    """Members of enums by name: some releases of Python save them as a call of getattr().

    Those of a kernel's features in their order, which that of a set is not: a run saves the same bytes again.
    """

    def reducer_override(self, thing: Any) -> Any:
        if isinstance(thing, Enum):
            return _member, (type(thing), thing.name)
        if isinstance(thing, Kernel):
            return _kernel, (thing.release, thing.arch, [each for each in Feature if each in thing.features])
        return NotImplemented


def _kernel(release: Release, arch: Arch, features: list[Feature]) -> Kernel:
    return Kernel(release, arch, frozenset(features))


def _member(kind: type[Enum], name: str) -> Enum:
    return kind[name]


_MAKERS = {maker.__name__: maker for maker in (_member, _kernel)}


class _Unpickler(pickle.Unpickler):
    """Classes of this package and arrays, nothing else: a file cannot name a function to call."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _ALLOWED:
            return super().find_class(module, name)
        if module == __name__ and name in _MAKERS:
            return _MAKERS[name]
        if module.split(".", maxsplit=1)[0] == "vmfs":
            found = super().find_class(module, name)
            if isinstance(found, type):
                return found
        raise StateError(f"a saved machine may not hold {module}.{name}")


def dump(machine: Machine) -> bytes:
    pickled = io.BytesIO()
    _Pickler(pickled, protocol=5).dump(machine)
    return MAGIC + lzma.compress(pickled.getbuffer(), preset=0)


def load(data: bytes) -> Machine:
    """StateError when the bytes are not what `dump` gave."""
    from vmfs.mm.machine import Machine  # the machine saves itself with this module

    if not data.startswith(MAGIC):
        raise StateError("not a saved machine")
    try:
        machine = _Unpickler(io.BytesIO(lzma.decompress(data[len(MAGIC) :]))).load()
    except StateError:
        raise
    except Exception as error:  # noqa: BLE001  # a damaged file can raise anything
        raise StateError(f"the saved machine is damaged: {error}") from None
    if not isinstance(machine, Machine):
        raise StateError("not a saved machine")
    return machine
