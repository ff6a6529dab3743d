"""/sys/kernel/mm/ksm (mm/ksm.c)."""

from __future__ import annotations

from errno import EBUSY, EINVAL, ERANGE
from typing import TYPE_CHECKING

from vmfs.kernel import Feature
from vmfs.views.codec import INT_MAX
from vmfs.views.kstrtox import Choice, Flag, Number
from vmfs.views.tunable import attribute, counter, fail, settings_dir

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

ADVISOR = Feature.KSM_ADVISOR


def unless_shared(machine: Machine, value: int) -> None:  # noqa: ARG001
    """The layout of the trees cannot change while pages hang in them."""
    if machine.ksm.pages_shared:
        raise fail(EBUSY)


def unless_advised(machine: Machine, value: int) -> None:  # noqa: ARG001
    """pages_to_scan_store(): the number is the advisor's while there is one."""
    if machine.ksm.advisor_mode != "none":
        raise fail(EINVAL)


DIRS = (
    settings_dir(
        "/sys/kernel/mm/ksm",
        lambda machine: machine.ksm,
        attribute("sleep_millisecs", Number()),
        attribute("pages_to_scan", Number(), check=unless_advised),
        attribute("run", Number(maximum=2)),
        attribute(
            "merge_across_nodes",
            Number(maximum=1, limit=None, overflow=ERANGE),
            needs=Feature.NUMA,
            check=unless_shared,
        ),
        attribute("max_page_sharing", Number(2, limit=INT_MAX, overflow=ERANGE), check=unless_shared),
        attribute("use_zero_pages", Flag()),
        attribute("stable_node_chains_prune_millisecs", Number()),
        attribute("smart_scan", Flag(), needs=ADVISOR),
        attribute("advisor_mode", Choice(("none", "scan-time")), needs=ADVISOR),
        attribute("advisor_max_cpu", Number(), needs=ADVISOR),
        attribute("advisor_min_pages_to_scan", Number(limit=None), needs=ADVISOR),
        attribute("advisor_max_pages_to_scan", Number(limit=None), needs=ADVISOR),
        attribute("advisor_target_scan_time", Number(1, limit=None), needs=ADVISOR),
        counter("pages_shared", lambda ksm: ksm.pages_shared),
        counter("pages_sharing", lambda ksm: ksm.pages_sharing),
        counter("pages_unshared", lambda ksm: ksm.pages_unshared),
        counter("pages_volatile", lambda ksm: ksm.pages_volatile),
        counter("full_scans", lambda ksm: ksm.full_scans),
        counter("stable_node_chains", lambda ksm: ksm.stable_node_chains),
        counter("stable_node_dups", lambda ksm: ksm.stable_node_dups),
        counter("pages_scanned", lambda ksm: ksm.pages_scanned, ADVISOR),
        counter("pages_skipped", lambda ksm: ksm.pages_skipped, ADVISOR),
        counter("ksm_zero_pages", lambda ksm: ksm.ksm_zero_pages, ADVISOR),
        counter("general_profit", lambda ksm: ksm.general_profit, ADVISOR),
    ),
)
