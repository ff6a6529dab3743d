"""/sys/kernel/mm/damon (mm/damon/sysfs.c): no monitor can be set up.

Each kdamond is a directory of its own with contexts, schemes and regions below; the machine has
no accesses to monitor, so a number above 0 is answered as the kernel answers when memory is short.
"""

from __future__ import annotations

from errno import ENOMEM
from typing import TYPE_CHECKING

from vmfs.kernel import Feature
from vmfs.views.codec import INT_MAX, SYSFS_LIMIT
from vmfs.views.entry import File, top
from vmfs.views.kstrtox import kstrtoull
from vmfs.views.tunable import fail

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine


def write_nr_kdamonds(_machine: Machine, data: bytes, _offset: int) -> int:
    """mm/damon/sysfs.c: nr_kdamonds_store()."""
    if data and kstrtoull(data, 0, INT_MAX):
        raise fail(ENOMEM)
    return len(data[:SYSFS_LIMIT])


DIRS = (
    top(
        "/sys/kernel/mm/damon/admin/kdamonds",
        File("nr_kdamonds", lambda _: "0\n", write_nr_kdamonds, 0o600),
        needs=Feature.DAMON,
    ),
)
