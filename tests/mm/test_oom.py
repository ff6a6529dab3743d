"""Who the OOM killer chooses, when the machine panics instead, and what tools look for in the log."""

from __future__ import annotations

import errno
import re

import pytest

from vmfs import control, spec
from vmfs.mm import oom_kill
from vmfs.mm.alloc_request import OutOfMemory, gfp_kernel
from vmfs.mm.check import check
from vmfs.mm.lru import Use
from vmfs.mm.vmstat import Item
from vmfs.tree.boot import booted

VM = "/proc/sys/vm"


@pytest.fixture
def tree():
    made = booted(spec.load("article", kernel="6.1"))
    made.write(f"{VM}/overcommit_memory", "1\n")
    made.machine.log.records.clear()
    return made


def run_out(tree, *options):
    with pytest.raises(OSError, match="out of memory") as refused:
        control.run(tree, " ".join(("start hog anon=200%", *options)))
    assert refused.value.errno == errno.ENOMEM


def said(tree):
    return [line for record in tree.machine.log.records for line in record.text.split("\n")]


def summary(tree):
    return next(line for line in said(tree) if line.startswith("oom-kill:"))


def names(tree):
    return [task.name for task in tree.machine.tasks.values()]


def test_the_largest_dies_and_who_asked_goes_on(tree):
    control.run(tree, "start large anon=70%")
    control.run(tree, "start small anon=40%")

    assert names(tree) == ["small"]
    assert said(tree)[0].startswith("small invoked oom-killer: ")
    assert "task=large,pid=1401,uid=0" in summary(tree)
    assert tree.machine.event(Item.OOM_KILL) == 1
    check(tree.machine)


def test_oom_score_adj_moves_the_choice(tree):
    control.run(tree, "start large anon=60% oom_score_adj=-900")
    control.run(tree, "start victim anon=20% oom_score_adj=500 uid=33")
    control.run(tree, "start asker anon=30%")

    assert names(tree) == ["large", "asker"]
    assert "task=victim,pid=1402,uid=33" in summary(tree)
    assert re.search(r" UID:33 pgtables:\d+kB oom_score_adj:500$", said(tree)[-1])


def test_of_equals_the_latest_dies(tree):
    first, second = (tree.machine.start(name, anon=1000) for name in ("first", "second"))
    difference = oom_kill.oom_badness(tree.machine, first) - oom_kill.oom_badness(tree.machine, second)
    smaller = min(first, second, key=lambda task: oom_kill.oom_badness(tree.machine, task))
    smaller.swapped = {Use.ANON: abs(difference)}
    control.run(tree, "oom")

    assert names(tree) == ["first"]


def test_an_exempt_task_is_spared_by_sysrq(tree):
    control.run(tree, "start exempt anon=10% oom_score_adj=-1000")
    with pytest.raises(OSError, match="no task can be killed"):
        control.run(tree, "oom")

    assert names(tree) == ["exempt"]
    assert said(tree)[0] == "sysrq: Manual OOM execution"
    assert said(tree)[1].startswith(
        "kworker/0:1 invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=-1, oom_score_adj=0"
    )
    assert said(tree)[-2:] == [
        "Out of memory and no killable processes...",
        "OOM request ignored. No task eligible",
    ]
    assert not tree.machine.panicked


def test_nobody_to_kill_is_a_deadlock(tree):
    with pytest.raises(OSError, match="out of memory"):
        control.run(tree, "start exempt anon=200% oom_score_adj=-1000")

    assert tree.machine.panicked == "System is deadlocked on memory"
    assert said(tree)[-1] == "---[ end Kernel panic - not syncing: System is deadlocked on memory ]---"


def test_the_allocating_task_dies_where_that_is_the_setting(tree):
    tree.write(f"{VM}/oom_kill_allocating_task", "1\n")
    control.run(tree, "start large anon=70%")
    with pytest.raises(OSError, match="out of memory"):
        control.run(tree, "start small anon=40%")

    assert names(tree) == ["large"]
    assert said(tree)[-1].startswith("Out of memory (oom_kill_allocating_task): Killed process 1402 (small) ")


def test_tasks_are_listed_unless_switched_off(tree):
    tree.write(f"{VM}/oom_dump_tasks", "0\n")
    run_out(tree)

    assert not [line for line in said(tree) if line.startswith(("Tasks state", "[  pid"))]
    assert summary(tree)


# -- a memory policy ---------------------------------------------------------------------------


def test_a_bound_task_runs_out_on_its_node_alone(tree):
    control.run(tree, "start elsewhere anon=40% node=0 policy=bind")
    control.run(tree, "start anywhere anon=5% node=1")
    run_out(tree, "node=1", "policy=bind")

    assert names(tree) == ["elsewhere", "anywhere"]
    lines = said(tree)
    assert summary(tree).startswith(
        "oom-kill:constraint=CONSTRAINT_MEMORY_POLICY,nodemask=1,cpuset=/,mems_allowed=0-1,global_oom,"
    )
    assert {line[:6] for line in lines if line.startswith("Node ")} == {"Node 1"}
    table = [line.split()[-1] for line in lines if re.match(r"\[ +\d+\] ", line)]
    assert table == ["anywhere", "hog"]


# -- panic -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "options", "message"),
    [
        ("1", (), "Out of memory: system-wide panic_on_oom is enabled"),
        ("1", ("node=1", "policy=bind"), ""),
        ("2", ("node=1", "policy=bind"), "Out of memory: compulsory panic_on_oom is enabled"),
    ],
)
def test_panic_on_oom(tree, setting, options, message):
    tree.write(f"{VM}/panic_on_oom", f"{setting}\n")
    run_out(tree, *options)

    assert tree.machine.panicked == message
    if message:
        lines = said(tree)
        assert names(tree) == ["hog"]
        assert f"Kernel panic - not syncing: {message}" in lines
        assert lines[-1] == f"---[ end Kernel panic - not syncing: {message} ]---"
        assert not [line for line in lines if line.startswith(("oom-kill:", "Out of memory: Killed"))]


def test_a_panicked_machine_stands_still_and_can_be_looked_at(tree, tmp_path):
    control.run(tree, f"save {tmp_path}/before")
    tree.write(f"{VM}/panic_on_oom", "1\n")
    tree.write("/proc/sys/kernel/panic", "10\n")
    run_out(tree)
    uptime, free = tree.read("/proc/uptime"), tree.read("/proc/meminfo")

    assert "Rebooting in 10 seconds.." in said(tree)
    tree.machine.tick(100)
    for refused in (
        lambda: tree.write(f"{VM}/drop_caches", "3\n"),
        lambda: tree.write("/proc/sysrq-trigger", "f"),
        lambda: control.run(tree, "stop hog"),
        lambda: control.run(tree, "advance 10"),
    ):
        with pytest.raises(OSError) as fault:
            refused()
        assert fault.value.errno == errno.EHOSTDOWN
    assert (tree.read("/proc/uptime"), tree.read("/proc/meminfo")) == (uptime, free)
    check(tree.machine)

    control.run(tree, f"load {tmp_path}/before")
    control.run(tree, "start again anon=1G")


# -- what leads there --------------------------------------------------------------------------


def test_a_min_free_kbytes_far_too_high_kills_what_runs(tree):
    control.run(tree, "start db anon=50%")
    control.run(tree, "start web anon=10%")
    tree.write(f"{VM}/min_free_kbytes", str(tree.machine.totalram_pages * 4 * 9 // 10))
    tree.machine.tick(2)

    assert names(tree) == []
    assert [line for line in said(tree) if line.startswith("Out of memory: Killed process 1401 (db) ")]
    assert tree.machine.event(Item.OOM_KILL) == 2
    check(tree.machine)


def test_costly_blocks_fail_with_a_warning_once_in_ten_seconds(tree):
    machine = tree.machine
    for seconds in (0, 1, 10):
        machine.tick(seconds)
        request = gfp_kernel(machine, 0, machine.totalram_pages, 4)
        with pytest.raises(OutOfMemory):
            machine.alloc_pages(request)

    told = [line for line in said(tree) if "page allocation failure" in line]
    what = "page allocation failure: order:4, mode:0xcc0(GFP_KERNEL)"
    assert told == [f"init: {what}, nodemask=(null),cpuset=/,mems_allowed=0-1"] * 2
    assert machine.event(Item.OOM_KILL) == 0


def test_overcommit_that_is_refused_is_warned_of(tree):
    tree.write(f"{VM}/overcommit_memory", "2\n")
    with pytest.raises(OSError, match="out of memory"):
        control.run(tree, "start greedy anon=90%")
    pid = tree.machine.next_pid
    assert said(tree) == [
        f"__vm_enough_memory: pid: {pid}, comm: greedy, no enough memory for the allocation"
    ]


def test_reports_are_limited_and_killings_are_not(tree):
    for number in range(12):
        control.run(tree, f"start task{number} anon=100M")
        control.run(tree, "oom")
    tree.machine.tick(6)
    control.run(tree, "start last anon=100M")
    control.run(tree, "oom")

    lines = said(tree)
    assert len([line for line in lines if "invoked oom-killer" in line]) == 11
    assert len([line for line in lines if line.startswith("Out of memory: Killed")]) == 13
    assert "oom_kill_process: 2 callbacks suppressed" in lines


def test_the_reaper_tells_of_victims_that_take_long(tree):
    run_out(tree)
    assert not [line for line in said(tree) if line.startswith("oom_reaper")]
    tree.machine.tick(3)

    assert said(tree)[-1] == (
        "oom_reaper: reaped process 1401 (hog), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB"
    )
    assert tree.machine.log.records[-1].microsecs - tree.machine.log.records[-2].microsecs >= 2_000_000


# -- what tools match --------------------------------------------------------------------------

NODE_PROBLEM_DETECTOR = (
    r"(.*invoked oom-killer:.*|oom-kill:constraint=.*)"
    r"|Killed process \d+ (.+) total-vm:\d+kB, anon-rss:\d+kB, file-rss:\d+kB.*"
)
"""The pattern OOMKilling of config/kernel-monitor.json, with the header's line."""

CADVISOR = (
    re.compile(r"invoked oom-killer:"),
    re.compile(
        r"oom-kill:constraint=(.*),nodemask=(.*),cpuset=(.*),mems_allowed=(.*),(?:oom_memcg=(.*)|global_oom),"
        r"task_memcg=(.*),task=(.*),pid=(.*),uid=(.*)"
    ),
    re.compile(r"Killed process ([0-9]+) \((.+)\)"),
)


@pytest.mark.parametrize("release", ["5.10", "6.1", "6.12", "7.2"])
def test_alerts_match_the_report_of_every_release(release):
    tree = booted(spec.load("tiny", kernel=release))
    tree.write(f"{VM}/overcommit_memory", "1\n")
    run_out(tree)
    text = "\n".join(said(tree))

    assert len(re.findall(NODE_PROBLEM_DETECTOR, text)) == 3
    assert [len(pattern.findall(text)) for pattern in CADVISOR] == [1, 1, 1]
    assert CADVISOR[1].search(text)[7] == CADVISOR[2].search(text)[2] == "hog"
