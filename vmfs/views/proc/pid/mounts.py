"""/proc/PID/mounts and mountinfo, as fs/proc_namespace.c writes them. All processes share one namespace."""

from __future__ import annotations

from vmfs.views.proc import mounts as machine_mounts
from vmfs.views.proc.pid.process import Process
from vmfs.views.seq import mangle

FIRST_ID, FIRST_MINOR = 21, 20
ROOTFS_ID = 1
OF_THE_MOUNT = ("rw", "ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "relatime")


def mounts(process: Process) -> str:
    return machine_mounts.mounts(process.machine)


def mountinfo(process: Process) -> str:
    """show_mountinfo(): all but the first are mounted on the root."""
    rows = process.machine.hardware.mounts
    return "".join(_line(index, [mangle(column) for column in row]) for index, row in enumerate(rows))


def _line(index: int, row: list[str]) -> str:
    source, where, kind, options, *_ = row
    words = options.split(",")
    mount = ",".join(word for word in words if word in OF_THE_MOUNT)
    rest = [word for word in words if word not in OF_THE_MOUNT]
    own = ",".join([words[0], *rest])
    this, above = (FIRST_ID + index, FIRST_ID) if index else (FIRST_ID, ROOTFS_ID)
    return f"{this} {above} 0:{FIRST_MINOR + index} / {where} {mount} - {kind} {source} {own}\n"
