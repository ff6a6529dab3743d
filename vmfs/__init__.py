"""A Linux memory machine in a directory: /proc, /proc/sys/vm and /sys of a simulated machine.

The public names are imported when they are first used, so that a command pays for what it needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vmfs.adapters.export import export
    from vmfs.adapters.mount import mount
    from vmfs.kernel import Kernel
    from vmfs.mm.machine import Machine
    from vmfs.spec import Spec
    from vmfs.tree import Tree

_HOMES = {
    "Machine": "vmfs.mm.machine",
    "Spec": "vmfs.spec",
    "Kernel": "vmfs.kernel",
    "Tree": "vmfs.tree",
    "mount": "vmfs.adapters.mount",
    "export": "vmfs.adapters.export",
}

__all__ = ["Kernel", "Machine", "Spec", "Tree", "export", "mount"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vmfs' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
