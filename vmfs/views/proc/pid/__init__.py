"""/proc/PID and /proc/PID/task/TID of init and of every task; /proc/self.

Who reads is not known to the simulated machine, so `self` is init for every reader.
"""

from __future__ import annotations

from vmfs.kernel import Feature
from vmfs.views.entry import Dir, File, Link, top
from vmfs.views.proc.pid import base, limits, maps, mounts, numa_maps, oom, smaps, stat, status
from vmfs.views.proc.pid.process import Process, each, each_thread, owner

READ_BY_OWNER = 0o400
OWNERS_DIRECTORY = 0o500

ENTRIES: tuple[File[Process] | Link[Process], ...] = (
    File("cgroup", base.cgroup),
    File("cmdline", base.cmdline),
    File("comm", base.comm, base.write_comm),
    File("cpuset", base.cpuset),
    Link("cwd", base.root),
    File("environ", base.empty, mode=READ_BY_OWNER),
    Link("exe", base.exe),
    File("io", base.io, mode=READ_BY_OWNER),
    File("limits", limits.limits),
    File("loginuid", base.unset, base.write_loginuid),
    File("maps", maps.maps),
    File("mountinfo", mounts.mountinfo),
    File("mounts", mounts.mounts),
    File("numa_maps", numa_maps.numa_maps, needs=Feature.NUMA),
    File("oom_adj", oom.oom_adj, oom.write_oom_adj),
    File("oom_score", oom.oom_score),
    File("oom_score_adj", oom.oom_score_adj, oom.write_oom_score_adj),
    Link("root", base.root),
    File("sessionid", base.unset),
    File("smaps", smaps.smaps),
    File("smaps_rollup", smaps.smaps_rollup),
    File("stat", stat.stat),
    File("statm", stat.statm),
    File("status", status.status),
    File("wchan", base.wchan),
)

DIRS = (
    top("/proc", Link("self", lambda _: "1"), Link("thread-self", lambda _: "1/task/1")),
    Dir("/proc/{}", ENTRIES, each, owner=owner),
    Dir("/proc/{}/fd", (), each, mode=OWNERS_DIRECTORY, owner=owner),
    Dir("/proc/{}/fdinfo", (), each, mode=OWNERS_DIRECTORY, owner=owner),
    Dir("/proc/{}/task/{}", ENTRIES, each_thread, owner=owner),
)
"""No task has a file open, so `fd` is empty."""
