"""/sys/kernel/mm/mempolicy: the weights of weighted interleaving (mm/mempolicy.c)."""

from __future__ import annotations

from vmfs.kernel import Feature
from vmfs.mm.mempolicy import DEFAULT_WEIGHT
from vmfs.views.codec import Either, Parsed, Write
from vmfs.views.kstrtox import TRUE_FALSE, Number, sysfs_streq
from vmfs.views.tunable import attribute, settings_dir

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


DIRS = (
    settings_dir(
        PATH,
        lambda machine: machine.mempolicy,
        attribute("auto", TRUE_FALSE, mode=0o664, needs=Feature.WEIGHTED_INTERLEAVE_AUTO),
        needs=Feature.WEIGHTED_INTERLEAVE,
    ),
)
