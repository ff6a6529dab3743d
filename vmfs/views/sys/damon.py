"""/sys/kernel/mm/damon (mm/damon/sysfs.c): kdamonds can be made, but none can be given a context.

A context has monitoring intervals, targets, schemes and regions below; the machine has no accesses to
monitor, so a context is answered as the kernel answers when memory is short.
"""

from __future__ import annotations

from collections.abc import Iterator
from errno import EINVAL, ENOMEM
from typing import TYPE_CHECKING

from vmfs.kernel import Feature
from vmfs.views.codec import INT_MAX, SYSFS_LIMIT
from vmfs.views.entry import Dir, File, top
from vmfs.views.kstrtox import kstrtoull
from vmfs.views.tunable import fail

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

KDAMONDS = "/sys/kernel/mm/damon/admin/kdamonds"
MOST_CONTEXTS = 1


def write_nr_kdamonds(machine: Machine, data: bytes, _offset: int) -> int:
    """mm/damon/sysfs.c: nr_kdamonds_store(): all that were there go, new ones come."""
    if data:
        machine.damon.nr_kdamonds = kstrtoull(data, 0, INT_MAX)
        machine.topology += 1
        machine.touch()
    return len(data[:SYSFS_LIMIT])


def write_nr_contexts(_machine: Machine, data: bytes, _offset: int) -> int:
    """mm/damon/sysfs.c: nr_contexts_store(): the kernel takes one at most, we none."""
    contexts = kstrtoull(data, 0, INT_MAX) if data else 0
    if contexts:
        raise fail(ENOMEM if contexts <= MOST_CONTEXTS else EINVAL)
    return len(data[:SYSFS_LIMIT])


def write_state(_machine: Machine, data: bytes, _offset: int) -> int:
    """mm/damon/sysfs.c: state_store(): no command means anything without a context."""
    if data:
        raise fail(EINVAL)
    return 0


def kdamonds(machine: Machine) -> Iterator[tuple[tuple[int], Machine]]:
    return (((index,), machine) for index in range(machine.damon.nr_kdamonds))


DIRS = (
    top(
        KDAMONDS,
        File("nr_kdamonds", lambda machine: f"{machine.damon.nr_kdamonds}\n", write_nr_kdamonds, 0o600),
        needs=Feature.DAMON,
    ),
    Dir(
        f"{KDAMONDS}/{{}}",
        (
            File("state", lambda _: "off\n", write_state, 0o600),
            File("pid", lambda _: "-1\n", mode=0o400),
        ),
        kdamonds,
        Feature.DAMON,
    ),
    Dir(
        f"{KDAMONDS}/{{}}/contexts",
        (File("nr_contexts", lambda _: "0\n", write_nr_contexts, 0o600),),
        kdamonds,
        Feature.DAMON,
    ),
)
