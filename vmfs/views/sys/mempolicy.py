"""/sys/kernel/mm/mempolicy: the weights of weighted interleaving (mm/mempolicy.c)."""

from __future__ import annotations

from collections.abc import Iterator
from errno import ENODEV
from typing import TYPE_CHECKING

from vmfs.kernel import Feature
from vmfs.mm.mempolicy import DEFAULT_WEIGHT
from vmfs.views.codec import Either, Parsed, Write
from vmfs.views.entry import Dir, File
from vmfs.views.kstrtox import TRUE_FALSE, Number, sysfs_streq
from vmfs.views.tunable import Settings, attribute, fail

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

PATH = "/sys/kernel/mm/mempolicy/weighted_interleave"
WEIGHT_MAX = 255


class Weight(Number):
    """node_store() of 6.12: nothing and 0 stand for the default weight."""

    def parse(self, write: Write, old: int) -> Parsed[int]:
        if sysfs_streq(write.data, ""):
            return Parsed(DEFAULT_WEIGHT, len(write.data))
        parsed = super().parse(write, old)
        return Parsed(parsed.value or DEFAULT_WEIGHT, parsed.consumed, parsed.errno)


WEIGHT = Either(
    Feature.WEIGHTED_INTERLEAVE_AUTO,
    Number(1, base=0, limit=WEIGHT_MAX),
    Weight(base=0, limit=WEIGHT_MAX),
)


def unless_bandwidth_unknown(machine: Machine, auto: bool) -> None:  # noqa: ARG001
    """weighted_interleave_auto_store(): once off, only a firmware's table could bring it back."""
    if auto:
        raise fail(ENODEV)


def weights(settings: Settings) -> Iterator[tuple[File[Settings], Settings]]:
    machine = settings.machine
    for entry in machine.mempolicy.weights:
        yield attribute(f"node{entry.nid}", WEIGHT, "weight"), Settings(machine, entry)


DIRS = (
    Dir(
        PATH,
        (
            attribute(
                "auto",
                TRUE_FALSE,
                mode=0o664,
                needs=Feature.WEIGHTED_INTERLEAVE_AUTO,
                check=unless_bandwidth_unknown,
            ),
        ),
        lambda machine: (((), Settings(machine, machine.mempolicy)),),
        Feature.WEIGHTED_INTERLEAVE,
        files=weights,
    ),
)
