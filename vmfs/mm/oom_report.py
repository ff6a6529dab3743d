"""What the log shows when memory runs out (mm/oom_kill.c: dump_header(), mm/page_alloc.c: warn_alloc())."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmfs.kernel import Feature
from vmfs.mm import gfp, mem_info, mmap, oom_control
from vmfs.mm.bitmap import id_list
from vmfs.mm.dump_stack import dump_stack
from vmfs.mm.mmzone import PAGE_SHIFT, PAGE_SIZE
from vmfs.mm.printk import SECOND, Level
from vmfs.mm.vmstat import Item

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine
    from vmfs.mm.oom_control import OomControl
    from vmfs.mm.tasks import Task

KBYTES_SHIFT = PAGE_SHIFT - 10
WARN_ALLOC_RATELIMIT = 10 * SECOND, 1
LISTED = (
    Item.NR_ISOLATED_ANON,
    Item.NR_ISOLATED_FILE,
    Item.NR_ACTIVE_ANON,
    Item.NR_INACTIVE_ANON,
    Item.NR_ACTIVE_FILE,
    Item.NR_INACTIVE_FILE,
    Item.NR_UNEVICTABLE,
)
TASKS_HEAD = "[  pid  ]   uid  tgid total_vm      rss {}pgtables_bytes swapents oom_score_adj name"


def dump_header(machine: Machine, oc: OomControl, victim: Task | None) -> None:
    """The whole report; its last line only where there is a victim."""
    who = oc.current
    machine.printk(
        Level.WARNING,
        f"{who.comm} invoked oom-killer: gfp_mask={_mask(machine, oc)}, order={oc.order}, "
        f"oom_score_adj={who.oom_score_adj}",
    )
    dump_stack(machine, who, oc.cpu, oc.cause)
    _show_mem(machine, oc)
    if _should_dump_unreclaim_slab(machine):
        _dump_unreclaimable_slab(machine)
    if machine.kernel.has(Feature.OOM_MEMCG_PROTECTION):
        machine.printk(Level.WARNING, "Memory cgroup min protection 0kB -- low protection 0kB")
    if machine.sysctl.oom_dump_tasks:
        _dump_tasks(machine, oc)
    if victim is not None:
        machine.printk(Level.INFO, _oom_summary(machine, oc, victim))


def warn_alloc(machine: Machine, oc: OomControl) -> None:
    """A request that must not kill has failed."""
    now = machine.clock.microsecs
    if oc.gfp_mask & gfp.NOWARN or not machine.log.ratelimit("warn_alloc", *WARN_ALLOC_RATELIMIT, now):
        return
    machine.printk(
        Level.WARNING,
        f"{oc.current.comm}: page allocation failure: order:{oc.order}, mode:{_mask(machine, oc)}, "
        f"nodemask={_nodemask(oc)},{_cpuset(machine)}",
    )
    dump_stack(machine, oc.current, oc.cpu, oc.cause)
    _show_mem(machine, oc)


def _mask(machine: Machine, oc: OomControl) -> str:
    return f"{oc.gfp_mask:#x}({gfp.names(machine.kernel, oc.gfp_mask)})"


def _nodemask(oc: OomControl) -> str:
    return "(null)" if oc.nids is None else id_list(oc.nids)


def _mems_allowed(machine: Machine) -> tuple[int, ...]:
    return tuple(node.nid for node in machine.nodes if node.present_pages)


def _cpuset(machine: Machine) -> str:
    return f"cpuset=/,mems_allowed={id_list(_mems_allowed(machine))}"


def _show_mem(machine: Machine, oc: OomControl) -> None:
    nids = _mems_allowed(machine) if oc.nids is None else oc.nids
    filtered = machine.kernel.has(Feature.SHOW_MEM_FILTERS_ZONES)
    highest = oc.highest_zoneidx if filtered else len(machine.zone_names)
    for text in mem_info.show_mem(machine, mem_info.Shown(nids, highest, oc.cpu)):
        machine.printk(Level.WARNING, text)


def _should_dump_unreclaim_slab(machine: Machine) -> bool:
    listed = sum(machine.global_page_state(item) for item in LISTED)
    return machine.global_page_state(Item.NR_SLAB_UNRECLAIMABLE) > listed


def _dump_unreclaimable_slab(machine: Machine) -> None:
    machine.printk(Level.INFO, "Unreclaimable slab info:")
    machine.printk(Level.INFO, "Name                      Used          Total")
    for cache in machine.slab_caches:
        if not cache.reclaimable and cache.num_objs:
            used, total = (objects * cache.size // 1024 for objects in (cache.active_objs, cache.num_objs))
            machine.printk(Level.INFO, f"{cache.name:<17} {used:>10}KB {total:>10}KB")


def _dump_tasks(machine: Machine, oc: OomControl) -> None:
    kinds = machine.kernel.has(Feature.OOM_TASKS_RSS_KINDS)
    machine.printk(Level.INFO, "Tasks state (memory values in pages):")
    machine.printk(Level.INFO, TASKS_HEAD.format("rss_anon rss_file rss_shmem " if kinds else ""))
    for task in oom_control.eligible(machine, oc):
        parts = f"{task.anon:>8} {task.file:>8} {task.shmem:>9} " if kinds else ""
        machine.printk(
            Level.INFO,
            f"[{task.pid:>7}] {task.uid:>5} {task.pid:>5} {total_vm(machine, task):>8} {task.rss:>8} {parts}"
            f"{task.page_tables * PAGE_SIZE:>8} {task.swap:>8}         {task.oom_score_adj:>5} {task.name}",
        )


def total_vm(machine: Machine, task: Task) -> int:
    return mmap.sizes(mmap.vmas(machine, task)).total_vm


def _oom_summary(machine: Machine, oc: OomControl, victim: Task) -> str:
    kind = "CONSTRAINT_MEMORY_POLICY" if oom_control.constrained(machine, oc) else "CONSTRAINT_NONE"
    return (
        f"oom-kill:constraint={kind},nodemask={_nodemask(oc)},{_cpuset(machine)},global_oom,task_memcg=/,"
        f"task={victim.name},pid={victim.pid},uid={victim.uid}"
    )


def killed(machine: Machine, message: str, victim: Task) -> str:
    return (
        f"{message}: Killed process {victim.pid} ({victim.name}) "
        f"total-vm:{total_vm(machine, victim) << KBYTES_SHIFT}kB, {_rss(victim, victim.anon)}, "
        f"UID:{victim.uid} pgtables:{victim.page_tables << KBYTES_SHIFT}kB "
        f"oom_score_adj:{victim.oom_score_adj}"
    )


def _rss(task: Task, anon: int) -> str:
    return (
        f"anon-rss:{anon << KBYTES_SHIFT}kB, file-rss:{task.file << KBYTES_SHIFT}kB, "
        f"shmem-rss:{task.shmem << KBYTES_SHIFT}kB"
    )


def reaped(victim: Task) -> str:
    """oom_reap_task_mm(): what is anonymous is gone; what others share is not counted any more."""
    return (
        f"oom_reaper: reaped process {victim.pid} ({victim.name}), "
        f"now anon-rss:0kB, file-rss:0kB, shmem-rss:{victim.shmem << KBYTES_SHIFT}kB"
    )
