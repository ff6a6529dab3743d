"""What every device directory of sysfs holds (drivers/base/core.c)."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from vmfs.kernel import Feature
from vmfs.views.entry import Dir, File

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

ACTIONS = ("add", "remove", "change", "move", "online", "offline", "bind", "unbind")


def uevent_store(_subject: Any, data: bytes, _offset: int) -> int:
    """lib/kobject_uevent.c: kobject_synth_uevent(): an event that nobody here listens to."""
    action = data.decode("latin-1").removesuffix("\n").split(" ")[0]
    if action not in ACTIONS:
        raise OSError(errno.EINVAL, "not an action of a kobject")
    return len(data)


UEVENT: File[Any] = File("uevent", lambda _: "", uevent_store)
"""A device without driver, type or number has nothing to say in it."""

POWER: tuple[File[Any], ...] = (
    File("async", lambda _: "disabled\n"),
    File("control", lambda _: "auto\n"),
    File("runtime_active_kids", lambda _: "0\n"),
    File("runtime_active_time", lambda _: "0\n"),
    File("runtime_enabled", lambda _: "disabled\n"),
    File("runtime_status", lambda _: "unsupported\n"),
    File("runtime_suspended_time", lambda _: "0\n"),
    File("runtime_usage", lambda _: "0\n"),
)
"""A device without power management (drivers/base/power/sysfs.c); reading its autosuspend_delay_ms
is an I/O error in the kernel, so that one is left out.
"""


def bus(name: str, ids: Callable[[Machine], Iterable[int]], needs: Feature = Feature.BASE) -> Dir[Machine]:
    """/sys/bus/NAME/devices: a link to each device of a system bus."""

    def links(machine: Machine) -> Iterable[tuple[str, str]]:
        return ((f"{name}{i}", f"../../../devices/system/{name}/{name}{i}") for i in ids(machine))

    return Dir(f"/sys/bus/{name}/devices", (), lambda machine: (((), machine),), needs, links)
