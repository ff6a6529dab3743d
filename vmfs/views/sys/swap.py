"""/sys/kernel/mm/swap (mm/swap_state.c)."""

from __future__ import annotations

from vmfs.kernel import Feature
from vmfs.views.codec import Either
from vmfs.views.kstrtox import TRUE_FALSE, Prefix
from vmfs.views.tunable import attribute, settings_dir

VMA_RA_ENABLED = Either(Feature.KSTRTOBOOL_TRUE_FALSE, TRUE_FALSE, Prefix(TRUE_FALSE.words))

DIRS = (
    settings_dir(
        "/sys/kernel/mm/swap",
        lambda machine: machine.swap_readahead,
        attribute("vma_ra_enabled", VMA_RA_ENABLED),
    ),
)
