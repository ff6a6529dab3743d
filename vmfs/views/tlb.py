"""/vmfs/tlb: address translation, of which no kernel has a file; and the same as a table to read.

JSON; keys stay what they are, new ones may come:

    tlb                        of one CPU: l2_hit_cycles, walk_cycles, sizes[]
    tlb.sizes[]                page_kbytes, l1_entries, l1_reach_bytes, l2_entries, l2_reach_bytes
    tasks[]                    pid, name, page_table_bytes (VmPTE), sizes[], and uniform_cycles and
                               skewed_cycles: what address translation adds to one access to memory
    tasks[].sizes[]            page_kbytes, pages, entry_bytes, uniform, skewed
    uniform, skewed            l1_miss_ratio, l2_miss_ratio, cycles
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from vmfs.mm import tlb
from vmfs.mm.mmzone import PAGE_SIZE
from vmfs.mm.tasks import Task
from vmfs.spec.sizes import format_size
from vmfs.views.entry import File, top

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

Text = dict[str, Any]


def show(machine: Machine) -> str:
    described = machine.hardware.tlb
    found = {
        "tlb": {
            "l2_hit_cycles": described.l2_hit_cycles,
            "walk_cycles": described.walk_cycles,
            "sizes": [_size(machine, kbytes) for kbytes in _page_sizes(machine)],
        },
        "tasks": [_task(machine, task) for task in machine.tasks.values()],
    }
    return json.dumps(found, indent=1) + "\n"


def _page_sizes(machine: Machine) -> list[int]:
    """Those that the machine can have."""
    return sorted({4, *(hstate.size_kbytes for hstate in machine.hstates)})


def _size(machine: Machine, kbytes: int) -> Text:
    described = machine.hardware.tlb
    first, second = described.l1.get(kbytes, 0), described.l2.get(kbytes, 0)
    return {
        "page_kbytes": kbytes,
        "l1_entries": first,
        "l1_reach_bytes": tlb.reach_bytes(first, kbytes),
        "l2_entries": second,
        "l2_reach_bytes": tlb.reach_bytes(second, kbytes),
    }


def _task(machine: Machine, task: Task) -> Text:
    found = tlb.rows(machine, task)
    uniform, skewed = tlb.whole(found)
    return {
        "pid": task.pid,
        "name": task.name,
        "page_table_bytes": task.page_tables * PAGE_SIZE,
        "uniform_cycles": round(uniform, 3),
        "skewed_cycles": round(skewed, 3),
        "sizes": [
            {
                "page_kbytes": row.page_kbytes,
                "pages": row.pages,
                "entry_bytes": row.entry_bytes,
                "uniform": _misses(row.uniform),
                "skewed": _misses(row.skewed),
            }
            for row in found
        ],
    }


def _misses(misses: tlb.Misses) -> Text:
    return {
        "l1_miss_ratio": round(misses.l1, 6),
        "l2_miss_ratio": round(misses.l2, 6),
        "cycles": round(misses.cycles, 3),
    }


# -- the table of `vmfs tlb` ---------------------------------------------------------------------

REACH = "{:>6}  {:>10} {:>9}  {:>10} {:>9}\n"
TASK = "{:>7} {:<15} {:>5} {:>13} {:>9} {:>9}  {:>7} {:>6}  {:>7} {:>6}\n"
SUM = "{:>6}  {:>15}  {:>13}  {:>13}\n"


def table(found: Text, memory_bytes: int) -> str:
    """What /vmfs/tlb holds, for people, and the classic sums for so much memory."""
    return f"{_reach(found['tlb'])}\n{_tasks(found['tasks'])}\n{_sums(found['tlb'], memory_bytes)}"


def human(size_bytes: float) -> str:
    """With a binary unit, and one decimal where it is no whole number of them."""
    units = ["B", "KiB", "MiB", "GiB", "TiB"]
    while size_bytes >= 1024 and len(units) > 1:
        size_bytes, units = size_bytes / 1024, units[1:]
    return f"{size_bytes:.{int(size_bytes % 1 > 0)}f} {units[0]}"


def _reach(found: Text) -> str:
    head = REACH.format("page", "L1 entries", "reach", "L2 entries", "reach")
    body = (
        REACH.format(
            format_size(size["page_kbytes"] << 10),
            size["l1_entries"],
            human(size["l1_reach_bytes"]),
            size["l2_entries"],
            human(size["l2_reach_bytes"]),
        )
        for size in found["sizes"]
    )
    costs = f"a hit in L2 costs {found['l2_hit_cycles']} cycles, a walk {found['walk_cycles']}\n"
    return f"The TLB of a CPU: {costs}{head}{''.join(body)}"


def _tasks(found: list[Text]) -> str:
    if not found:
        return "No task has memory.\n"
    words = "Page walks in percent of accesses, and the cycles that translation adds to one:\n"
    head = words + TASK.format(
        "pid", "task", "page", "pages", "entries", "tables", "uniform", "cycles", "skewed", "cycles"
    )
    return head + "".join(_task_line(task, size) for task in found for size in task["sizes"])


def _task_line(task: Text, size: Text) -> str:
    uniform, skewed = size["uniform"], size["skewed"]
    return TASK.format(
        task["pid"],
        task["name"],
        format_size(size["page_kbytes"] << 10),
        f"{size['pages']:,}",
        human(size["entry_bytes"]),
        human(task["page_table_bytes"]),
        f"{uniform['l2_miss_ratio']:.2%}",
        f"{uniform['cycles']:.1f}",
        f"{skewed['l2_miss_ratio']:.2%}",
        f"{skewed['cycles']:.1f}",
    )


def _sums(found: Text, memory_bytes: int) -> str:
    head = f"{human(memory_bytes)} in pages of one size:\n"
    head += SUM.format("page", "entries", "of 8 bytes", "of 16 bytes")
    sizes = [size["page_kbytes"] for size in found["sizes"]]
    pairs = [(tlb.classic_sums(memory_bytes, kb, 8), tlb.classic_sums(memory_bytes, kb)) for kb in sizes]
    return head + "".join(
        SUM.format(
            format_size(small.page_kbytes << 10),
            f"{small.entries:,}",
            human(small.entry_bytes),
            human(large.entry_bytes),
        )
        for small, large in pairs
    )


DIRS = (top("/vmfs", File("tlb", show)),)
