"""Start a machine and a command on it, or a command on a machine that is there."""

from __future__ import annotations

import functools
import os
import signal
import socket
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from vmfs.namespace import base, cpusets, doctor, door, keeper, paths, seccomp, spaces, syscalls
from vmfs.namespace.answers import ANSWERED
from vmfs.namespace.cover import Cover
from vmfs.namespace.facts import Facts
from vmfs.namespace.inside import namespace_of
from vmfs.namespace.spaces import Caller, NamespaceError
from vmfs.namespace.supervise import Child
from vmfs.namespace.targets import EXTRA_TARGETS, KERNEL_TARGETS

ROOT_VARIABLE = "VMFS_ROOT"
LAST_STANDARD_FILE = 2
DAEMON_ENDED = "the daemon was killed: the files of the machine answer ENOTCONN from now on"
KEEPER_ENDED = (
    "the keeper was killed: no program can be started any more, and the machine's files stay in the way"
)

OnTasks = Callable[[Iterable[int]], None]
StartDaemon = Callable[[str, Callable[[], None], OnTasks | None], int]
"""(mountpoint, on_start, on_tasks) -> the pid of a daemon that serves a machine there.

It returns once the mount answers; the daemon calls `on_start` before it does anything else, and
`on_tasks`, if given, with the numbers of all tasks when there are others than before.
"""


def run(
    command: Sequence[str],
    start_daemon: StartDaemon,
    *,
    only: tuple[str, ...] = (),
    hide: tuple[str, ...] = (),
    as_caller: bool = False,
    answer_calls: bool = True,
    show_tasks: bool = False,
    log_to: Callable[[], None] = lambda: None,
    warn: Callable[[str], None] = lambda _: None,
) -> int:
    """The exit status of `command`. NamespaceError: it could not be run; WrongPath: for wrong usage.

    `only` are laid over instead of all there is; what `hide`'s patterns match is taken from the host.
    `show_tasks`: the machine's tasks are processes. `log_to` is called in the keeper when it begins.
    """
    _fill_standard_files()
    outside = namespace_of("self")
    caller = spaces.leave_the_hosts_mounts()
    machine = _place()
    on_start = _at_start_of_daemon()
    ringing, heard = door.bell() if show_tasks else (None, None)
    on_tasks = functools.partial(door.ring, ringing) if ringing else None
    daemon = start_daemon(machine, on_start, on_tasks)
    spaces.unshare_mounts()
    _cover(machine, only, hide, warn)
    with door.listen(os.getpid()) as entrance:
        kept = keeper.Run(machine, caller.mapped, outside, daemon, entrance, heard, log_to)
        keeper_pid, lifeline = keeper.start(kept)
    child = _command(command, machine, caller if as_caller else None, os.getpid(), answer_calls, warn)
    there = {daemon: DAEMON_ENDED, keeper_pid: KEEPER_ENDED}
    status = child.wait(there, warn)
    os.close(lifeline)
    if keeper_pid in there:
        os.waitpid(keeper_pid, 0)
    if daemon in there:
        os.kill(daemon, signal.SIGKILL)  # the machine is memory: there is nothing to be saved
        os.waitpid(daemon, 0)
    return status


def enter(
    pid: int | None,
    command: Sequence[str],
    *,
    as_caller: bool = False,
    answer_calls: bool = True,
    warn: Callable[[str], None] = lambda _: None,
) -> int:
    """The exit status of `command` on the machine of a run: the only one, or the one `pid` belongs to."""
    _fill_standard_files()
    client, leader = _find(pid)
    room = door.ask_to_join(client)
    client.close()
    folder = Path.cwd()
    caller = Caller(os.geteuid(), os.getegid(), room.mapped)
    try:
        if room.mapped and not Path("/proc/self/ns/user").samefile(f"/proc/self/fd/{room.user}"):
            syscalls.setns(room.user, syscalls.CLONE_NEWUSER)
        syscalls.setns(room.mounts, syscalls.CLONE_NEWNS)
    except OSError as fault:
        raise NamespaceError(
            f"cannot join the run {leader}: {fault.strerror}: is it another user's?"
        ) from None
    os.chdir(folder)  # by name: it may be one of those that were laid over
    child = _command(command, room.root, caller if as_caller else None, leader, answer_calls, warn)
    return child.wait({}, warn)


def _fill_standard_files() -> None:
    """What is closed is so for the command; until then nothing else may get these numbers."""
    while (file := os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)) <= LAST_STANDARD_FILE:
        pass
    os.close(file)


def _place() -> str:
    try:
        return base.make()
    except OSError as fault:
        why = doctor.why_no_mount(str(fault.strerror))
        raise NamespaceError(f"cannot mount {fault.filename}: {doctor.one_line(why)}") from None


def _at_start_of_daemon() -> Callable[[], None]:
    parent, files = os.getpid(), _open_files()

    def on_start() -> None:
        syscalls.die_with_parent(signal.SIGKILL, parent)
        for file in files:
            os.close(file)

    return on_start


def _open_files() -> list[int]:
    """What we were given beside standard input, output and error: it is for the command alone."""
    with os.scandir("/proc/self/fd") as entries:
        found = [int(entry.name) for entry in entries]
    return [file for file in found if file > LAST_STANDARD_FILE and _is_open(file)]


def _is_open(file: int) -> bool:
    try:
        os.fstat(file)
    except OSError:
        return False
    return True


def _cover(machine: str, only: tuple[str, ...], hide: tuple[str, ...], warn: Callable[[str], None]) -> None:
    cover = Cover(machine)
    chosen = paths.to_lay_over(machine, only)
    cover.vanish(_not_there(cover, chosen or KERNEL_TARGETS, paths.to_hide(hide)))
    cover.lay_over(chosen or KERNEL_TARGETS + EXTRA_TARGETS)
    if not only:
        cpusets.lay_over(cover)
    cover.seal()
    if missing := [path for path in cover.missing if path not in EXTRA_TARGETS]:
        warn(f"the kernel of this host lacks {', '.join(missing)}, and nobody can add a name to /proc")


def _not_there(cover: Cover, targets: Sequence[str], hidden: set[str]) -> list[str]:
    """What the host has and the machine has not: for want of it, or since it is hidden."""
    below = tuple(f"{target}/" for target in targets)
    every = (*targets, *sorted(hidden - set(targets)))
    return [t for t in every if not cover.has(t) and not t.startswith(below)]


def _command(
    command: Sequence[str],
    machine: str,
    caller: Caller | None,
    leader: int,
    answer_calls: bool,
    warn: Callable[[str], None],
) -> Child:
    """Run it as `caller`, if there is one, with its calls answered by the keeper of the run `leader`."""

    def prepare() -> None:
        if not (answer_calls and _is_answered(leader, nested, warn)):
            syscalls.bind(f"{machine}/vmfs/status.{os.getpid()}", f"/proc/{os.getpid()}/status")
        if caller:
            spaces.become_caller_again(caller)

    nested = ROOT_VARIABLE in os.environ
    os.environ[ROOT_VARIABLE] = machine
    return Child(command, prepare)


def _is_answered(leader: int, nested: bool, warn: Callable[[str], None]) -> bool:
    """Where a run is `nested` in another, the keeper of that one answers, from the files we see.

    If it sees them: another user namespace may keep it from that.
    """
    try:
        with door.connect(leader) as client:
            door.hand_over(client, seccomp.notify_of(ANSWERED))
    except seccomp.Unavailable as why:
        if not nested or os.sched_getaffinity(0) != Facts(os.getpid()).online_cpus():
            warn(f"sysinfo(2), CPU affinity and memory policy show this host: {why}")
        return False
    return True


def _find(pid: int | None) -> tuple[socket.socket, int]:
    found = [run for run in door.runs() if pid in (None, run) or _is_in(pid, run)]
    if len(found) == 1:
        return door.connect(found[0]), found[0]
    if found:
        raise NamespaceError(f"several runs go on: name one of {', '.join(map(str, found))}")
    raise NamespaceError("no run goes on here" if pid is None else f"process {pid} is in no run")


def _is_in(pid: int | None, run: int) -> bool:
    """Whether the process has the mounts of the run."""
    try:
        return namespace_of(str(pid)) == namespace_of(str(run))
    except OSError:
        return False
