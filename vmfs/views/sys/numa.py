"""/sys/kernel/mm/numa (mm/memory-tiers.c)."""

from __future__ import annotations

from vmfs.kernel import Feature
from vmfs.views.kstrtox import TRUE_FALSE
from vmfs.views.tunable import attribute, settings_dir

DIRS = (
    settings_dir(
        "/sys/kernel/mm/numa",
        lambda machine: machine.memory_tiers,
        attribute("demotion_enabled", TRUE_FALSE),
        needs=Feature.DEMOTION,
    ),
)
