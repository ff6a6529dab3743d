"""A user and a mount namespace for this process, made without root."""

from __future__ import annotations

import os
from errno import EPERM
from pathlib import Path
from typing import NamedTuple

from vmfs.namespace import syscalls


class NamespaceError(Exception):
    """One line: what is wrong, and what to do."""


class Caller(NamedTuple):
    """Who runs vmfs, as seen outside; `mapped`: inside this user is uid 0 of a user namespace."""

    uid: int
    gid: int
    mapped: bool


def leave_the_hosts_mounts() -> Caller:
    """Mounts made from now on are seen by this process and its children alone.

    Whoever may not have that becomes uid 0 of a user namespace first, where everybody may. What the
    host mounts later is still seen here. Only a process of one thread can do it. NamespaceError.
    """
    try:
        return try_leaving_the_hosts_mounts()
    except OSError as fault:
        from vmfs.namespace import doctor

        why = doctor.why_no_namespace(str(fault.strerror))
        raise NamespaceError(f"no namespace of its own: {doctor.one_line(why)}") from None


def try_leaving_the_hosts_mounts() -> Caller:
    """The same with the kernel's reason: OSError."""
    caller = Caller(os.geteuid(), os.getegid(), mapped=False)
    try:
        syscalls.unshare(syscalls.CLONE_NEWNS)
    except OSError as fault:
        if fault.errno != EPERM:
            raise
        caller = caller._replace(mapped=True)
        syscalls.unshare(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNS)
        _map_ids(0, caller.uid, 0, caller.gid)
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_SLAVE)
    return caller


def become_caller_again(caller: Caller) -> None:
    """The uid and gid outside, without capabilities as soon as a program is executed."""
    if caller.mapped:
        syscalls.unshare(syscalls.CLONE_NEWUSER)
        _map_ids(caller.uid, 0, caller.gid, 0)


def _map_ids(uid: int, outer_uid: int, gid: int, outer_gid: int) -> None:
    Path("/proc/self/setgroups").write_text("deny")  # else nobody but root may map a group
    Path("/proc/self/gid_map").write_text(f"{gid} {outer_gid} 1")
    Path("/proc/self/uid_map").write_text(f"{uid} {outer_uid} 1")


def unshare_mounts() -> None:
    """From here on this process has its mounts apart from those of the processes it leaves behind."""
    syscalls.unshare(syscalls.CLONE_NEWNS)
