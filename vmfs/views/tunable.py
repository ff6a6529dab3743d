"""Makers of files that hold a stored value: sysctls, and attributes of sysfs.

The codec says what a write means; storing, and what the kernel does after it, is the model's:
`Machine.set_sysctl` and `Machine.set_attribute`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from vmfs.kernel import Feature
from vmfs.mm.printk import warn_sysctl_write
from vmfs.views.codec import SYSFS_LIMIT, Codec, Parsed, String, Write
from vmfs.views.entry import Dir, File, Link

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

SYSCTL_WRITES_STRICT, SYSCTL_WRITES_WARN = 1, 0

Check = Callable[["Machine", Any], None]
"""Refuses a value that the handler has parsed already: raises OSError, nothing is stored."""


class Settings(NamedTuple):
    """What a sysfs attribute is about: the object that holds the value, on its machine."""

    machine: Machine
    holder: Any


def sysctl_write(machine: Machine, name: str, data: bytes, offset: int) -> Write:
    """The write as a handler of this machine sees it (kernel/sysctl.c: sysctl_writes_strict)."""
    mode = machine.sysctl.sysctl_writes_strict
    if offset and mode == SYSCTL_WRITES_WARN:
        warn_sysctl_write(machine, name)
    return Write(data, offset if mode == SYSCTL_WRITES_STRICT else 0, machine.kernel)


def fail(errno: int) -> OSError:
    return OSError(errno, os.strerror(errno))


def tunable(
    name: str,
    codec: Codec[Any],
    attr: str = "",
    *,
    mode: int = 0,
    needs: Feature = Feature.BASE,
) -> File[Machine]:
    """A stored sysctl; `attr` is its name in mm/sysctl.py where it is not the file's.

    What the kernel runs after a store runs after every success, also of an empty write and of one
    that strict mode ignores: then the old value is stored once more.
    """
    attr = attr or name.replace("-", "_")

    def read(machine: Machine) -> str:
        return codec.format(getattr(machine.sysctl, attr))

    def write(machine: Machine, data: bytes, offset: int) -> int:
        old = getattr(machine.sysctl, attr)
        parsed = codec.parse(sysctl_write(machine, name, data, offset), old)
        if not parsed.errno or parsed.value != old:
            machine.set_sysctl(attr, parsed.value)
        return _answer(parsed)

    def load(machine: Machine, text: str) -> None:
        setattr(machine.sysctl, attr, codec.load(text))

    return File(name, read, write, mode, needs, load, string=isinstance(codec, String))


def action(name: str, codec: Codec[int]) -> File[Machine]:
    """A sysctl that nobody can read and that does something: mm/settings.py says what."""
    return File(name, None, tunable(name, codec).write)


def constant(
    name: str, read: Callable[[Machine], object], needs: Feature = Feature.BASE, *, string: bool = False
) -> File[Machine]:
    """A sysctl that only tells."""
    return File(name, lambda machine: f"{read(machine)}\n", needs=needs, string=string)


def attribute(  # the columns of a row
    name: str,
    codec: Codec[Any],
    attr: str = "",
    *,
    mode: int = 0,
    needs: Feature = Feature.BASE,
    check: Check | None = None,
) -> File[Settings]:
    """A stored value of sysfs: every write is the whole value, wherever its offset is."""
    attr = attr or name

    def read(settings: Settings) -> str:
        return codec.format(getattr(settings.holder, attr))

    def write(settings: Settings, data: bytes, offset: int) -> int:  # noqa: ARG001
        if not data:
            return 0
        machine, holder = settings
        parsed = codec.parse(Write(data[:SYSFS_LIMIT], 0, machine.kernel), getattr(holder, attr))
        if not parsed.errno:
            if check:
                check(machine, parsed.value)
            machine.set_attribute(holder, attr, parsed.value)
        return _answer(parsed)

    def load(settings: Settings, text: str) -> None:
        setattr(settings.holder, attr, codec.load(text))

    return File(name, read, write, mode, needs, load)


def counter(name: str, read: Callable[[Any], object], needs: Feature = Feature.BASE) -> File[Settings]:
    """An attribute that only tells: `read` gets the holder."""
    return File(name, lambda settings: f"{read(settings.holder)}\n", needs=needs)


def stored_counter(name: str, needs: Feature = Feature.BASE) -> File[Settings]:
    """The same of a count that the holder keeps under that name, and a capture tells."""

    def load(settings: Settings, text: str) -> None:
        setattr(settings.holder, name, int(text))

    return File(name, lambda settings: f"{getattr(settings.holder, name)}\n", needs=needs, load=load)


def settings_dir(
    path: str,
    holder: Callable[[Machine], Any],
    *entries: File[Settings] | Link[Settings],
    needs: Feature = Feature.BASE,
) -> Dir[Settings]:
    """A directory whose files are the attributes of one object of the machine."""
    return Dir(path, entries, lambda machine: (((), Settings(machine, holder(machine))),), needs)


def _answer(parsed: Parsed[Any]) -> int:
    if parsed.errno:
        raise fail(parsed.errno)
    return parsed.consumed
