"""What a run needs, what is found here, and what to do: for `vmfs doctor` and for the reason of a failure."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import stat
from collections.abc import Callable
from contextlib import suppress
from errno import ENOSYS
from pathlib import Path
from typing import NamedTuple

from vmfs.namespace import base, seccomp, spaces, syscalls
from vmfs.namespace.answers import ANSWERED
from vmfs.namespace.targets import KERNEL_TARGETS

FUSE_DEVICE = Path("/dev/fuse")
FALLBACK = "vmfs mount with the tool's own path option, or vmfs export"
CONTAINER_OPTIONS = (
    "start the container with --device /dev/fuse --security-opt seccomp=unconfined "
    "--security-opt apparmor=unconfined --security-opt systempaths=unconfined"
)
SIGNS_OF_A_CONTAINER = ("/.dockerenv", "/run/.containerenv")

RESTRICTIONS = (
    ("user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=10000"),
    ("user/max_mnt_namespaces", "0", "sysctl -w user.max_mnt_namespaces=10000"),
    ("kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    ),
)
"""A sysctl, the value that forbids user namespaces, and what root does about it."""


class Check(NamedTuple):
    """A line of the table. `needed`: without it nothing runs."""

    requirement: str
    fine: bool
    found: str
    fix: str = ""
    needed: bool = True


def checks() -> list[Check]:
    tried, device = _try_out(), _device()
    if not device.fine or tried.get("mount"):
        tried.pop("fuse", None)
    return [
        device,
        _libfuse(),
        _step(tried, "a namespace of its own", "namespace", why_no_namespace),
        _step(tried, "mounting in it", "mount", why_no_mount),
        _step(tried, "a FUSE mount in it", "fuse", why_no_mount),
        _step(tried, "binding over /proc", "bind", why_no_mount),
        _step(tried, "answering system calls", "seccomp", why_no_answers, needed=False),
        _targets(),
        _fusermount(),
    ]


def why_no_namespace(reason: str) -> tuple[str, str]:
    """What was found and the fix."""
    for name, forbids, fix in RESTRICTIONS:
        if _text(f"/proc/sys/{name}") == forbids:
            return f"{name.replace('/', '.')} is {forbids}", f"as root: {fix}"
    if not Path("/proc/self/ns/user").exists():
        return "this kernel has no user namespaces", "a kernel with CONFIG_USER_NS"
    return _inside_container(f"unshare: {reason}", "the policy of this host forbids it")


def why_no_mount(reason: str) -> tuple[str, str]:
    if reason == os.strerror(ENOSYS):
        return "this kernel has no open_tree(2)", "Linux 5.2 or newer"
    if _text("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1":
        return why_no_namespace(reason)
    return _inside_container(reason, "the policy of this host forbids it")


def why_no_answers(reason: str) -> tuple[str, str]:
    fix = "" if "apt install" in reason else "sysinfo(2) and its like show the host: --no-seccomp is silent"
    return reason, fix


def one_line(found_and_fix: tuple[str, str]) -> str:
    """For an error: what is wrong, what to do, and the way around."""
    return f"{': '.join(part for part in found_and_fix if part)} (else: {FALLBACK}; vmfs doctor tells more)"


def _inside_container(reason: str, otherwise: str) -> tuple[str, str]:
    if any(Path(sign).exists() for sign in SIGNS_OF_A_CONTAINER):
        return f"{reason}, in a container", CONTAINER_OPTIONS
    if "\nSeccomp:\t2\n" in Path("/proc/self/status").read_text():
        return f"{reason}, under a seccomp filter", "a filter that allows unshare(2) and mount(2)"
    return reason, otherwise


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _device() -> Check:
    name = str(FUSE_DEVICE)
    try:
        os.close(os.open(FUSE_DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        return Check(name, False, "missing", "as root: modprobe fuse; in a container: --device /dev/fuse")
    except PermissionError:
        return Check(name, False, "cannot be opened", f"as root: chmod 666 {FUSE_DEVICE}")
    except OSError as fault:
        return Check(name, False, str(fault.strerror), "as root: modprobe fuse")
    return Check(name, True, "can be opened")


def _libfuse() -> Check:
    try:
        ctypes.CDLL("libfuse.so.2")
    except OSError:
        return Check("libfuse 2", False, "missing", "apt install libfuse2 (dnf install fuse-libs)")
    return Check("libfuse 2", True, "found")


def _targets() -> Check:
    missing = [target for target in KERNEL_TARGETS if not os.path.lexists(target)]
    lost = [target for target in missing if target.startswith("/proc/")]
    if not missing:
        return Check("what is laid over", True, "all there", needed=False)
    found = f"the host lacks {', '.join(missing)}"
    fix = f"{', '.join(lost)}: not in a run; in vmfs mount" if lost else "room is made"
    return Check("what is laid over", not lost, found, fix, needed=False)


def _fusermount() -> Check:
    program = shutil.which("fusermount") or shutil.which("fusermount3")
    set_uid = bool(program and Path(program).stat().st_mode & stat.S_ISUID)
    if os.geteuid() == 0 or set_uid:
        return Check("vmfs mount", True, program or "as root", needed=False)
    return Check("vmfs mount", False, "no set-uid fusermount", "apt install fuse3", needed=False)


def _step(
    tried: dict[str, str],
    requirement: str,
    step: str,
    why: Callable[[str], tuple[str, str]],
    needed: bool = True,
) -> Check:
    reason = tried.get(step)
    if reason is None:
        return Check(requirement, False, "not tried", "what is above first", needed)
    if reason:
        return Check(requirement, False, *why(reason), needed)
    return Check(requirement, True, "works", needed=needed)


def _try_out() -> dict[str, str]:
    """Each step of a run in a process of its own: "" where it worked, or why it did not."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        done: dict[str, str] = {}
        with suppress(BaseException):
            for name, step in Trial().steps.items():
                done[name] = _outcome(step)
                if done[name] and name == "namespace":
                    break
        os.write(writer, json.dumps(done).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    found: dict[str, str] = json.loads(said)
    return found


def _outcome(step: Callable[[], object]) -> str:
    try:
        step()
    except OSError as fault:
        return str(fault.strerror)
    except (spaces.NamespaceError, seccomp.Unavailable) as fault:
        return str(fault)
    return ""


class Trial:
    """The steps of a run, each on what the ones before it made."""

    def __init__(self) -> None:
        self._machine = ""
        self.steps: dict[str, Callable[[], object]] = {
            "namespace": spaces.try_leaving_the_hosts_mounts,
            "mount": self._mount,
            "fuse": self._mount_fuse,
            "bind": lambda: syscalls.bind("/proc/version", "/proc/meminfo"),
            "seccomp": lambda: seccomp.notify_of(ANSWERED),
        }

    def _mount(self) -> None:
        self._machine = base.make()

    def _mount_fuse(self) -> None:
        device = os.open(FUSE_DEVICE, os.O_RDWR)
        options = f"fd={device},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}"
        syscalls.mount("vmfs", self._machine, "fuse", syscalls.MS_NOSUID | syscalls.MS_NODEV, options)
