"""How far vmfs agrees with recorded kernels, area by area."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.conformance import boot, dynamics, syscalls, write_table, writes
from tests.conformance.agreement import Agreement

AREAS: dict[str, Callable[[Path], Agreement]] = {
    "boot lines": boot.compare,
    "writes": writes.compare,
    "write table": write_table.compare,
    "system calls": syscalls.compare,
    "dynamics": dynamics.compare,
}
"""Column of the table -> what compares a recording in that area."""
