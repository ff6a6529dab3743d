"""sysinfo(2) of the simulated machine."""

from __future__ import annotations

import struct
import time

from vmfs.namespace.facts import Facts

SYSINFO = struct.Struct("@l3L6LHH2LI")
"""struct sysinfo without its padding: uptime, loads, ram and swap, procs, pad, high memory, unit."""

SI_LOAD_SHIFT = 16
PAGE_SIZE = 4096
MOST = (1 << 8 * struct.calcsize("L")) - 1


def sysinfo(facts: Facts) -> bytes:
    """kernel/sys.c: do_sysinfo(), but for the uptime, which is the host's as in /proc/uptime."""
    memory = facts.meminfo_bytes()
    averages, tasks = facts.loadavg()
    keys = ("MemTotal", "MemFree", "Shmem", "Buffers", "SwapTotal", "SwapFree", "HighTotal", "HighFree")
    sizes = [memory.get(key, 0) for key in keys]
    # as the kernel: bytes, where the whole of it can be counted in an unsigned long
    unit = 1 if sizes[0] + sizes[4] <= MOST else PAGE_SIZE
    *low, high_total, high_free = (size // unit for size in sizes)
    uptime = int(time.clock_gettime(time.CLOCK_BOOTTIME))
    loads = (int(average * (1 << SI_LOAD_SHIFT)) for average in averages)
    return SYSINFO.pack(uptime, *loads, *low, min(tasks, 0xFFFF), 0, high_total, high_free, unit)
