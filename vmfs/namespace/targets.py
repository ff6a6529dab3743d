"""What the simulated machine is laid over: single files and directories, never a whole /proc.

Everything else stays the host's: processes, /proc/uptime that their times count in, devices,
network. A whole FUSE /proc breaks /dev/stdin, nsenter and what asks for the type of the filesystem.
"""

from __future__ import annotations

PROC = (
    "buddyinfo",
    "cmdline",
    "cpuinfo",
    "iomem",
    "loadavg",
    "meminfo",
    "pagetypeinfo",
    "pressure",
    "slabinfo",
    "stat",
    "swaps",
    "vmstat",
    "zoneinfo",
)

SYSCTL = (
    "vm",
    "fs/aio-max-nr",
    "fs/aio-nr",
    "fs/dentry-state",
    "fs/file-max",
    "fs/file-nr",
    "fs/inode-nr",
    "fs/inode-state",
    "kernel/numa_balancing",
    "kernel/shm_rmid_forced",
    "kernel/shmall",
    "kernel/shmmax",
    "kernel/shmmni",
    "kernel/threads-max",
)

SYS = (
    "devices/system/cpu",
    "devices/system/memory",
    "devices/system/node",
    "kernel/mm",
    "kernel/slab",
)

KERNEL_TARGETS = (
    *(f"/proc/{name}" for name in PROC),
    *(f"/proc/sys/{name}" for name in SYSCTL),
    *(f"/sys/{name}" for name in SYS),
)
"""What the machine's kernel lacks of these vanishes: the host's would belie it."""

EXTRA_TARGETS = (
    "/proc/sysrq-trigger",  # nobody shall kill the host's processes by mistake
    "/proc/sys/fs/dentry-negative",
    "/proc/sys/kernel/numa_balancing_promote_rate_limit_MBps",
    "/dev/hugepages",
    "/dev/hugepages-1G",
    "/dev/kmsg",
    "/proc/kpagecgroup",
    "/proc/kpagecount",
    "/proc/kpageflags",
    "/proc/vmallocinfo",
)
"""What the machine lacks of these stays the host's, and what the host lacks nobody looks for."""
