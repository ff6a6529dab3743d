"""Counters: which file's number is taken, where the model keeps it, and in which unit.

A node's counters are those of zoneinfo, else of node*/vmstat; events and what no node prints come
from vmstat. The files were read at different moments, so the sums differ a little.
"""

from __future__ import annotations

from vmfs.capture.parse_zoneinfo import ZoneText
from vmfs.kernel import Kernel
from vmfs.mm.snapshot import NodeState
from vmfs.mm.vmstat import Item, Scope, items
from vmfs.views.proc.vmstat import PRINTED_IN_HUGE_PAGES

_THP = {item.text for item in PRINTED_IN_HUGE_PAGES}
_RENAMED = {
    "workingset_refault": "workingset_refault_file",
    "workingset_activate": "workingset_activate_file",
    "workingset_restore": "workingset_restore_file",
}
"""Until 5.9 only file pages had them."""


def counted(kernel: Kernel, name: str, printed: int) -> int:
    """The count behind a printed number: huge pages are counted in base pages."""
    return printed << kernel.hpage_pmd_order if name in _THP else printed


def of_vmstat(kernel: Kernel, vmstat: dict[str, int]) -> dict[str, int]:
    """The counts behind a file of vmstat's kind."""
    return {name: counted(kernel, name, printed) for name, printed in vmstat.items()}


def node_counters(kernel: Kernel, zones: list[ZoneText], vmstat: dict[str, int] | None) -> dict[str, int]:
    """One node's counters. `zones` are its own; `vmstat` is its own file."""
    said = dict(vmstat or {})
    for item in items(kernel, Scope.NODE):
        # A release that counted it by zone.
        if any(item.text in zone.stat for zone in zones):
            said[item.text] = sum(zone.stat.get(item.text, 0) for zone in zones)
    for zone in zones:
        said |= zone.node_stat
    said |= {new: said[old] for old, new in _RENAMED.items() if old in said}
    known = {item.text for item in items(kernel, Scope.NODE)}
    return {name: count for name, count in of_vmstat(kernel, said).items() if name in known}


def move_to_zones(kernel: Kernel, node: NodeState, zones: list[ZoneText]) -> None:
    """What the captured release counted by node, and this one by zone, goes to the last zone in use."""
    used = [zone for zone in node.zones if zone.present]
    for item in items(kernel, Scope.ZONE):
        count = sum(zone.node_stat.get(item.text, 0) for zone in zones)
        if used and count and all(item.text not in zone.stat for zone in used):
            used[-1].stat[item.text] = count


def events(kernel: Kernel, vmstat: dict[str, int]) -> dict[str, int]:
    """The events this kernel counts."""
    return {i.text: vmstat[i.text] for i in items(kernel, Scope.EVENT) if i.text in vmstat}


def left_out(kernel: Kernel, vmstat: dict[str, int]) -> tuple[list[str], list[str]]:
    """Names in the captured file that this kernel does not print, and those it prints that are missing."""
    known = {item.text for item in items(kernel, *Scope)}
    derived = {Item.NR_UNSTABLE.text}
    return sorted(vmstat.keys() - known), sorted(known - vmstat.keys() - derived)
