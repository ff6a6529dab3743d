"""Fields of a machine by name: what scenarios check and record. Memory in bytes, counts as they are.

MemFree, Active(anon)…             a line of /proc/meminfo
pgscan_kswapd, oom_kill…           a counter of /proc/vmstat
node0.MemFree, node1.numa_foreign  a line of the node's meminfo, vmstat or numastat
node0.Normal.min                   of a zone: free, min, low, high, managed, present, boost
slab.dentry                        objects in use in a slab cache
task.NAME.rss                      of all tasks of that name: rss, anon, file, shmem, swap
task.NAME, tasks                   how many there are
/PATH, /PATH:WORD, /PATH:WORD:2    a number in a file: the first, or of the line that starts so
change FIELD                       since the scenario began
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from vmfs.mm import wmark
from vmfs.mm.machine import Machine
from vmfs.mm.mmzone import PAGE_SIZE, Zone
from vmfs.mm.tasks import Task
from vmfs.mm.vmstat import Scope, items
from vmfs.tree import Tree
from vmfs.views.proc.meminfo import ROWS, count_line
from vmfs.views.proc.vmstat import printed

KBYTE = 1024
MEMINFO = {row.label: row for row in ROWS}
ZONE: dict[str, Callable[[Zone], int]] = {
    "free": lambda zone: zone.free_pages,
    "min": wmark.min_wmark_pages,
    "low": wmark.low_wmark_pages,
    "high": wmark.high_wmark_pages,
    "managed": lambda zone: zone.managed_pages,
    "present": lambda zone: zone.present_pages,
    "boost": lambda zone: zone.watermark_boost,
}
TASK: dict[str, Callable[[Task], int]] = {
    "rss": lambda task: task.rss,
    "anon": lambda task: task.anon,
    "file": lambda task: task.file,
    "shmem": lambda task: task.shmem,
    "swap": lambda task: task.swap,
}
KINDS = "a line of meminfo, a counter of vmstat, nodeN.…, task.NAME.…, slab.CACHE, tasks, or a /path"


class Field(NamedTuple):
    """`change`: the value is counted from the start of the scenario."""

    name: str
    change: bool = False


@lru_cache(maxsize=1024)
def parse(text: str) -> Field:
    """ValueError for what is no field's name; whether a machine has it is seen when it is read."""
    words = text.split()
    change = len(words) == 2 and words[0] == "change"
    if len(words) != 1 and not change:
        raise ValueError(f"{text!r} is no field; accepted: {KINDS}")
    return Field(words[-1], change)


def value(tree: Tree, name: str) -> float:
    """LookupError where this machine has no such field."""
    first, _, rest = name.partition(".")
    if name.startswith("/"):
        return _in_file(tree, name)
    if first == "task" and rest:
        return _of_tasks(tree.machine, *rest.rpartition(".")[::2])
    if re.fullmatch(r"node\d+", first) and rest:
        return _of_node(tree, int(first[4:]), rest)
    if first == "slab" and (cache := tree.machine.slab_cache(rest)):
        return cache.active_objs
    return len(tree.machine.tasks) if name == "tasks" else _counted(tree.machine, name)


def _counted(machine: Machine, name: str) -> float:
    """A line of meminfo, or of vmstat."""
    if name in MEMINFO and machine.kernel.has(MEMINFO[name].needs):
        row = MEMINFO[name]
        return row.value(machine) * (1 if row.line is count_line else KBYTE)
    for item in items(machine.kernel, *Scope):
        if item.text == name:
            return printed(machine, item, machine.global_page_state(item))
    raise LookupError(f"{name}: this machine has no such field; accepted: {KINDS}")


def _of_tasks(machine: Machine, name: str, what: str) -> float:
    if what in TASK and name:
        return sum(TASK[what](task) for task in machine.tasks.values() if task.name == name) * PAGE_SIZE
    whole = f"{name}.{what}" if name else what
    return sum(task.name == whole for task in machine.tasks.values())


def _of_node(tree: Tree, nid: int, name: str) -> float:
    zone_name, _, what = name.rpartition(".")
    if zone_name and what in ZONE:
        for node, zone in tree.machine.zones():
            if node.nid == nid and zone.name == zone_name:
                return ZONE[what](zone) * PAGE_SIZE
    folder = f"/sys/devices/system/node/node{nid}"
    try:
        found = re.search(rf" {re.escape(name)}: +(\d+)( kB)?$", tree.read(f"{folder}/meminfo"), re.MULTILINE)
        if found:
            return int(found[1]) * (KBYTE if found[2] else 1)
        texts = tree.read(f"{folder}/vmstat") + tree.read(f"{folder}/numastat")
    except OSError:
        raise LookupError(f"node{nid}: this machine has no such node") from None
    for line in texts.splitlines():
        if line.split()[:1] == [name]:
            return float(line.split()[1])
    raise LookupError(f"node{nid}.{name}: a node has no such field")


def _in_file(tree: Tree, name: str) -> float:
    path, _, rest = name.partition(":")
    word, _, column = rest.partition(":")
    try:
        text = tree.read(tree.resolve(path))
    except OSError as fault:
        raise LookupError(f"{path}: {fault.strerror}") from None
    for line in text.splitlines():
        parts = line.split()
        if word and parts[:1] not in ([word], [f"{word}:"]):
            continue
        found = [_number(part) for part in parts[bool(word) :]]
        numbers = [number for number in found if number is not None]
        if len(numbers) >= int(column or 1) > 0:
            return numbers[int(column or 1) - 1]
    raise LookupError(f"{name}: there is no such number in it")


def _number(word: str) -> float | None:
    found = re.fullmatch(r"(?:[\w.]+=)?(-?\d+(?:\.\d+)?)[,;%]?", word)
    return float(found[1]) if found else None
