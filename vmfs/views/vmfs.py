"""/vmfs/status and /vmfs/clock: what no kernel has. The third file, ctl, is vmfs/control's.

Keys of the status stay what they are; new ones may come. Sizes are pages of 4096 bytes:

    machine, architecture, kernel, seed   what was booted: "article", "x86_64", "6.12", 0
    clock_seconds                         since boot, as in vmfs/clock
    nodes[]                               node, cpus ("0-3"), distances, present_pages,
                                          managed_pages, free_pages, zones[]
    nodes[].zones[]                       zone, present_pages, managed_pages, free_pages,
                                          min_pages, low_pages, high_pages
    tasks[]                               pid, name, node, uid, oom_score_adj, and in memory
                                          anon_pages, file_pages, shmem_pages, else swap_pages
    totals                                present_pages, managed_pages, free_pages,
                                          swap_pages, swap_used_pages
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from vmfs.mm import wmark
from vmfs.mm.mmzone import Node, Zone
from vmfs.mm.tasks import Task
from vmfs.views.entry import File, top
from vmfs.views.proc.uptime import seconds
from vmfs.views.seq import id_list

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine


def status(machine: Machine) -> str:
    return (
        json.dumps(
            {
                "machine": machine.name,
                "architecture": machine.kernel.arch.value,
                "kernel": ".".join(map(str, machine.kernel.release)),
                "seed": machine.seed,
                "clock_seconds": machine.clock.uptime_centisecs / 100,
                "nodes": [_node(node) for node in machine.nodes],
                "tasks": [_task(task) for task in machine.tasks.values()],
                "totals": {
                    "present_pages": sum(node.present_pages for node in machine.nodes),
                    "managed_pages": machine.totalram_pages,
                    "free_pages": machine.free_pages,
                    "swap_pages": sum(area.pages for area in machine.swap_areas),
                    "swap_used_pages": sum(area.used for area in machine.swap_areas),
                },
            },
            indent=1,
        )
        + "\n"
    )


def _node(node: Node) -> dict[str, Any]:
    return {
        "node": node.nid,
        "cpus": id_list(node.cpus),
        "distances": list(node.distances),
        "present_pages": node.present_pages,
        "managed_pages": node.managed_pages,
        "free_pages": node.free_pages,
        "zones": [_zone(zone) for zone in node.zones if zone.populated],
    }


def _zone(zone: Zone) -> dict[str, Any]:
    return {
        "zone": zone.name,
        "present_pages": zone.present_pages,
        "managed_pages": zone.managed_pages,
        "free_pages": zone.free_pages,
        "min_pages": wmark.min_wmark_pages(zone),
        "low_pages": wmark.low_wmark_pages(zone),
        "high_pages": wmark.high_wmark_pages(zone),
    }


def _task(task: Task) -> dict[str, Any]:
    return {
        "pid": task.pid,
        "name": task.name,
        "node": task.nid,
        "uid": task.uid,
        "oom_score_adj": task.oom_score_adj,
        "anon_pages": task.anon,
        "file_pages": task.file,
        "shmem_pages": task.shmem,
        "swap_pages": task.swap,
    }


def clock(machine: Machine) -> str:
    return f"{seconds(machine.clock.uptime_centisecs)}\n"


DIRS = (
    top("/vmfs", File("status", status, timed=True), File("clock", clock, timed=True)),
    # `vmfs run` binds these over what shall vanish, and then hides them
    top("/vmfs/absent", File("file", lambda _: "")),
    top("/vmfs/absent/directory"),
)
