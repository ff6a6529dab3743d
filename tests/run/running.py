"""`vmfs run` as an ordinary user, beside the same machine in this process."""

from __future__ import annotations

import fcntl
import os
import pwd
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from tests.mounting import VMFS
from vmfs import control, spec
from vmfs.tree import Tree
from vmfs.tree.boot import booted

REPOSITORY = Path(__file__).parent.parent.parent
NAME = "vmfs-tester"
MACHINE = "article"
SECONDS = 60
ENVIRONMENT = {
    "HOME": "/tmp",
    "LC_ALL": "C",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "PYTHONPATH": str(REPOSITORY),
    "TERM": "xterm",
}

LOAD = ("swapon 4G", "read 3G files=5000", "start hog anon=1G", "write 200M files=10", "slab dentry 100000")
"""Control lines after which no size is zero and no two are the same."""

HUGEPAGES = 64


@cache
def user() -> tuple[int, int]:
    """uid and gid of an ordinary user: who runs this, or as root one created for it."""
    if os.getuid():
        return os.getuid(), os.getgid()
    with (Path(tempfile.gettempdir()) / f"{NAME}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with suppress(KeyError):
            return pwd.getpwnam(NAME)[2:4]
        subprocess.run(["useradd", "--no-create-home", NAME], check=True)
        return pwd.getpwnam(NAME)[2:4]


def command(*arguments: str, as_root: bool = False) -> list[str]:
    """A vmfs command as that user, or as who runs this."""
    if as_root:
        return [*VMFS, *arguments]
    uid, gid = user()
    return [sys.executable, "-m", "tests.run.as_user", str(uid), str(gid), *arguments]


def vmfs(*arguments: str, as_root: bool = False, **options: object) -> subprocess.CompletedProcess[str]:
    given = {"env": ENVIRONMENT, "cwd": REPOSITORY, "stdin": subprocess.DEVNULL, **options}
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        command(*arguments, as_root=as_root), capture_output=True, text=True, timeout=SECONDS, **given
    )


def run(
    script: str, *options: str, machine: str = MACHINE, **more: object
) -> subprocess.CompletedProcess[str]:
    """`script` in a shell on a machine whose time stands still."""
    chosen = ("--machine", machine, "--clock", "manual", *options)
    return vmfs("run", *chosen, "--", "sh", "-c", script, **more)  # type: ignore[arg-type]


def output(script: str, *options: str, machine: str = MACHINE, as_root: bool = False) -> str:
    """What a script that must succeed prints; nothing may be said on standard error by vmfs itself."""
    done = run(script, *options, machine=machine, as_root=as_root)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "vmfs:" not in done.stderr
    return done.stdout


def loaded(script: str, *options: str, as_root: bool = False) -> str:
    """What the script prints on a machine where a lot has happened; loaded_twin() is the same machine."""
    lines = "\n".join(LOAD)
    prepare = f"printf '%s\\n' {shlex.quote(lines)} > $VMFS_ROOT/vmfs/ctl\n"
    prepare += f"echo {HUGEPAGES} > /proc/sys/vm/nr_hugepages\n"
    return output(prepare + script, *options, as_root=as_root)


def twin(machine: str = MACHINE) -> Tree:
    return booted(spec.load(machine))


def loaded_twin() -> Tree:
    tree = twin()
    for line in LOAD:
        control.run(tree, line)
    tree.write("/proc/sys/vm/nr_hugepages", f"{HUGEPAGES}\n")
    return tree


@contextmanager
def running(script: str, first: str = "", **more: object) -> Iterator[subprocess.Popen[str]]:
    """A run that goes on meanwhile; the script has done what is `first`. Its group is killed at the end."""
    chosen = ("--machine", "tiny", "--clock", "manual", "--")
    process = subprocess.Popen(  # type: ignore[call-overload]
        command("run", *chosen, "sh", "-c", f"{first}\necho begun; {script}"),
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **{"env": ENVIRONMENT, "stdin": subprocess.DEVNULL, **more},
    )
    try:
        assert process.stdout.readline() == "begun\n"
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait(SECONDS)
        for stream in filter(None, (process.stdin, process.stdout)):
            stream.close()


def eventually(condition: object, seconds: float = 20) -> bool:
    """Whether it comes true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.02)
    return False
