"""Kernel same-page merging: what /sys/kernel/mm/ksm sets (mm/ksm.c).

No task of the machine asks for merging, so the counts stay 0: ksmd never starts a scan.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Ksm:
    sleep_millisecs: int = 20
    pages_to_scan: int = 100
    run: int = 0  # 0 stop, 1 run, 2 stop and unmerge
    merge_across_nodes: int = 1
    use_zero_pages: bool = False
    max_page_sharing: int = 256
    stable_node_chains_prune_millisecs: int = 2000
    smart_scan: bool = True
    advisor_mode: str = "none"
    advisor_max_cpu: int = 70  # percent
    advisor_min_pages_to_scan: int = 500
    advisor_max_pages_to_scan: int = 30000
    advisor_target_scan_time: int = 200  # seconds
    pages_shared: int = 0
    pages_sharing: int = 0
    pages_unshared: int = 0
    rmap_items: int = 0
    full_scans: int = 0
    stable_node_chains: int = 0
    stable_node_dups: int = 0
    pages_scanned: int = 0
    pages_skipped: int = 0
    ksm_zero_pages: int = 0
    general_profit: int = 0  # bytes

    @property
    def pages_volatile(self) -> int:
        """Pages that change too fast to be placed in a tree (pages_volatile_show())."""
        return max(0, self.rmap_items - self.pages_shared - self.pages_sharing - self.pages_unshared)
