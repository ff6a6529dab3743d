"""What every device directory of sysfs holds (drivers/base/core.c)."""

from __future__ import annotations

import errno
from typing import Any

from vmfs.views.entry import File

ACTIONS = ("add", "remove", "change", "move", "online", "offline", "bind", "unbind")


def uevent_store(_subject: Any, data: bytes, _offset: int) -> int:
    """lib/kobject_uevent.c: kobject_synth_uevent(): an event that nobody here listens to."""
    action = data.decode("latin-1").removesuffix("\n").split(" ")[0]
    if action not in ACTIONS:
        raise OSError(errno.EINVAL, "not an action of a kobject")
    return len(data)


UEVENT: File[Any] = File("uevent", lambda _: "", uevent_store)
"""A device without driver, type or number has nothing to say in it."""
