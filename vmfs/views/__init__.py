"""All tables of visible files, found by walking this package: each module's DIRS."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from vmfs.views.entry import Dir


def dirs() -> tuple[Dir[Any], ...]:
    """The DIRS of every view module, in the order of module names."""
    names = sorted(m.name for m in pkgutil.walk_packages(__path__, __name__ + "."))
    return tuple(d for name in names for d in getattr(importlib.import_module(name), "DIRS", ()))
