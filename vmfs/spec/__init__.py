"""Described machines: a `Spec` says what hardware there is, before any kernel has seen it.

`load` reads a built-in machine or a TOML file; code may as well construct a Spec, which checks
itself. Every refusal is a `SpecError` of one line: where, what, and what is accepted.
"""

from vmfs.spec.cpu import Cpu
from vmfs.spec.model import Firmware, HugePages, NodeSpec, PageCacheSpec, Spec, SwapSpec, TaskSpec
from vmfs.spec.sizes import SpecError, format_size, parse_size
from vmfs.spec.toml import builtin, load, text

__all__ = [
    "Cpu",
    "Firmware",
    "HugePages",
    "NodeSpec",
    "PageCacheSpec",
    "Spec",
    "SpecError",
    "SwapSpec",
    "TaskSpec",
    "builtin",
    "format_size",
    "load",
    "parse_size",
    "text",
]
