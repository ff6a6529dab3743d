"""/sys/kernel/mm/cma: a directory for each contiguous area (mm/cma_sysfs.c); the machine has none."""

from __future__ import annotations

from vmfs.kernel import Feature
from vmfs.views.entry import top

DIRS = (top("/sys/kernel/mm/cma", needs=Feature.CMA),)
