"""CPUs and nodes: from /sys/devices/system, or from what zoneinfo and stat show of them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vmfs.capture.context import Capture
from vmfs.capture.parse_buddyinfo import ZoneKey
from vmfs.capture.parse_lists import LARGEST_ID, parse_list, parse_mask
from vmfs.capture.parse_zoneinfo import ZoneText
from vmfs.capture.text import Text

NODES = "sys/devices/system/node"
_CPUS = "sys/devices/system/cpu"
_LOCAL, _REMOTE, _UNREACHABLE = 10, 20, 255


@dataclass(slots=True)
class Topology:
    """Online nodes ascending; their CPUs and distances."""

    nodes: dict[int, tuple[int, ...]]
    distances: dict[int, tuple[int, ...]]
    online: tuple[int, ...]
    present: tuple[int, ...]
    nr_cpu_ids: int
    possible_nodes: str


def read_topology(
    capture: Capture, zones: list[ZoneText], buddy: dict[ZoneKey, list[int]], numa: bool
) -> Topology:
    """Raises CaptureError where the files contradict each other."""
    online = _online_cpus(capture, zones)
    listed = {zone.nid for zone in zones} or set(capture.parse(f"{NODES}/online", parse_list) or ())
    nids = sorted(listed or {nid for nid, _ in buddy} or {0})
    _same_nodes(capture, zones, nids)
    nodes = _node_cpus(capture, nids, online, numa)
    distances = _distances(capture, nids)
    present = capture.parse(f"{_CPUS}/present", parse_list) or online
    possible = capture.parse(f"{_CPUS}/possible", parse_list) or present
    masks = [_mask_bits(capture, nid) for nid in nids]
    widest = max(*possible, *present, *online) + 1
    text = capture.text(f"{NODES}/possible")
    return Topology(nodes, distances, online, present, max(widest, *masks), text.only() if text else "")


def _online_cpus(capture: Capture, zones: list[ZoneText]) -> tuple[int, ...]:
    listed = {cpu for zone in zones for cpu in zone.pagesets}
    if listed:
        return tuple(sorted(listed))
    return (
        capture.parse(f"{_CPUS}/online", parse_list)
        or capture.parse("proc/stat", _cpus_of_stat)
        or capture.parse("proc/cpuinfo", _cpus_of_cpuinfo)
        or (0,)
    )


def _cpus_of_stat(text: Text) -> tuple[int, ...]:
    return _numbered(text, r"cpu(\d{1,5}) ")


def _cpus_of_cpuinfo(text: Text) -> tuple[int, ...]:
    return _numbered(text, r"processor\s*: (\d{1,5})$")


def _numbered(text: Text, pattern: str) -> tuple[int, ...]:
    found = {int(match[1]) for line in text.lines if (match := re.match(pattern, line))}
    return tuple(sorted(cpu for cpu in found if cpu < LARGEST_ID))


def _same_nodes(capture: Capture, zones: list[ZoneText], nids: list[int]) -> None:
    text = capture.text(f"{NODES}/online")
    if text and zones and (differ := set(parse_list(text)) ^ set(nids)):
        raise text.error(1, f"node {min(differ)} is in one of this file and proc/zoneinfo")


def _node_cpus(
    capture: Capture, nids: list[int], online: tuple[int, ...], numa: bool
) -> dict[int, tuple[int, ...]]:
    nodes = {nid: capture.parse(f"{NODES}/node{nid}/cpulist", parse_list) for nid in nids}
    lacking = [nid for nid, cpus in nodes.items() if cpus is None]
    if lacking and (numa or len(nids) > 1):
        instead = "all CPUs are in node 0" if len(nids) == 1 else "the CPUs are shared out in order"
        capture.warn(f"{NODES}/node{lacking[0]}/cpulist", f"missing; {instead}")
    if lacking:
        return {
            nid: online[i * len(online) // len(nids) : (i + 1) * len(online) // len(nids)]
            for i, nid in enumerate(nids)
        }
    known = {nid: cpus for nid, cpus in nodes.items() if cpus is not None}
    _in_one_node(capture, known, online)
    return known


def _in_one_node(capture: Capture, nodes: dict[int, tuple[int, ...]], online: tuple[int, ...]) -> None:
    seen: set[int] = set()
    for nid, cpus in nodes.items():
        text = capture.text(f"{NODES}/node{nid}/cpulist")
        wrong = seen.intersection(cpus) or set(cpus) - set(online)
        if wrong and text:
            reason = "in another node too" if wrong & seen else "not online in proc/zoneinfo or proc/stat"
            raise text.error(1, f"cpu {min(wrong)} is {reason}")
        seen.update(cpus)


def _distances(capture: Capture, nids: list[int]) -> dict[int, tuple[int, ...]]:
    rows: dict[int, tuple[int, ...]] = {}
    for nid in nids:
        text = capture.text(f"{NODES}/node{nid}/distance")
        if text is None:
            rows[nid] = tuple(_LOCAL if other == nid else _REMOTE for other in nids)
            continue
        rows[nid] = tuple(text.numbers(1, text.only()))
        if len(rows[nid]) != len(nids) or not all(0 < d <= _UNREACHABLE for d in rows[nid]):
            raise text.error(1, f"expected {len(nids)} distances of 1 to 255")
    return rows


def _mask_bits(capture: Capture, nid: int) -> int:
    found = capture.parse(f"{NODES}/node{nid}/cpumap", parse_mask)
    return found[1] if found else 1
