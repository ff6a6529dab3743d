"""Daemons that are told to end, killed, or kept from starting; and clients that all come at once."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

import pytest

from tests.mounting import VMFS, vmfs
from tests.small_machine import small_machine
from vmfs.adapters import mount as mounting
from vmfs.adapters import unmount as unmounting
from vmfs.adapters.mountinfo import MountError, daemon_of, mount_at
from vmfs.tree import Tree

TINY = ("--machine", "tiny", "--clock", "manual")
SOON = 10.0
USER = os.getuid() or 1000


@pytest.fixture
def point(tmp_path: Path) -> Iterator[Path]:
    """An empty directory, unmounted at the end whatever happened."""
    folder = tmp_path / "machine"
    folder.mkdir()
    yield folder
    while found := mount_at(str(folder)):
        unmounting.detach(found.path, lazily=True)


def daemon(point: Path) -> int:
    found = mount_at(str(point))
    assert found
    pid = daemon_of(found)
    assert pid
    return pid


def wait(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON
    while not until():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    try:
        return "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True


def refusal(*arguments: str, **environ: str) -> str:
    """What a command that fails says: one line."""
    done = subprocess.run(
        [*VMFS, *arguments], capture_output=True, text=True, timeout=60, env=os.environ | environ
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"vmfs: {arguments[0]}: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


# Ends


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_unmounts_and_ends_the_daemon(point: Path, number: int) -> None:
    vmfs("mount", *TINY, str(point))
    pid = daemon(point)
    os.kill(pid, number)

    wait(lambda: is_gone(pid))
    assert mount_at(str(point)) is None
    assert list(point.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_daemon_in_the_foreground_with_success(point: Path, number: int) -> None:
    with subprocess.Popen(
        [*VMFS, "mount", "--foreground", *TINY, str(point)], stderr=subprocess.PIPE
    ) as process:
        wait((point / "proc").exists)
        process.send_signal(number)
        assert process.wait(SOON) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert mount_at(str(point)) is None


def test_umount_returns_when_the_daemon_has_ended(point: Path) -> None:
    vmfs("mount", *TINY, str(point))
    pid = daemon(point)
    vmfs("umount", str(point))

    assert is_gone(pid)
    assert "nothing is mounted" in refusal("umount", str(point))


def test_umount_clears_what_a_killed_daemon_left(point: Path) -> None:
    vmfs("mount", *TINY, str(point))
    reader = os.open(point / "proc/meminfo", os.O_RDONLY)
    kill(point)
    with pytest.raises(OSError, match="not connected") as refused:
        os.read(reader, 1)
    assert refused.value.errno == errno.ENOTCONN
    vmfs("umount", str(point))  # although a file is open
    assert list(point.iterdir()) == []
    with suppress(OSError):
        os.close(reader)


def test_mount_recovers_a_dead_mount_by_itself(point: Path) -> None:
    vmfs("mount", *TINY, str(point))
    kill(point)
    vmfs("mount", *TINY, str(point))
    assert (point / "proc/meminfo").read_text().startswith("MemTotal:")
    vmfs("umount", str(point))
    assert mount_at(str(point)) is None


def kill(point: Path) -> None:
    pid = daemon(point)
    os.kill(pid, signal.SIGKILL)
    wait(lambda: is_gone(pid))


def test_a_stopped_daemon_does_not_hold_up_who_asks_about_the_mount(point: Path) -> None:
    vmfs("mount", *TINY, str(point))
    pid = daemon(point)
    os.kill(pid, signal.SIGSTOP)
    try:
        assert "already" in refusal("mount", *TINY, str(point))
    finally:
        os.kill(pid, signal.SIGCONT)
    vmfs("umount", str(point))


def test_umount_of_a_mount_in_use_says_so(point: Path) -> None:
    vmfs("mount", *TINY, str(point))
    with subprocess.Popen(["sleep", "60"], cwd=point / "proc") as sleeper:
        assert "is in use" in refusal("umount", str(point))
        sleeper.kill()
    vmfs("umount", str(point))


# What keeps a daemon from starting


def test_a_mount_point_that_is_none(point: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert f"{tmp_path}/nowhere does not exist: mkdir" in refusal("mount", *TINY, f"{tmp_path}/nowhere")
    assert "is not a directory" in refusal("mount", *TINY, f"{tmp_path}/file")
    assert "is not empty" in refusal("mount", *TINY, str(tmp_path))
    assert "not of vmfs" in refusal("umount", "/proc")
    vmfs("mount", *TINY, str(point))
    assert f"vmfs umount {point}" in refusal("mount", *TINY, str(point))


def test_no_libfuse(point: Path) -> None:
    said = refusal("mount", *TINY, str(point), FUSE_LIBRARY_PATH="/nowhere/libfuse.so.2")
    assert "libfuse 2 is not installed: apt install libfuse2" in said


def test_no_device(point: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounting, "FUSE_DEVICE", f"{tmp_path}/fuse")
    monkeypatch.setattr(mounting.os, "geteuid", lambda: 0)
    with pytest.raises(MountError, match="No such file or directory: modprobe fuse"):
        mounting.prepare(point)

    Path(f"{tmp_path}/fuse").mkdir()
    with pytest.raises(MountError, match="--device /dev/fuse"):
        mounting.prepare(point)


def test_no_permission_to_the_device(point: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    mounting.prepare(point)  # libfuse is looked for once, with files that can be opened
    monkeypatch.setattr(mounting.os, "open", refuse)
    monkeypatch.setattr(mounting.os, "geteuid", lambda: 0)
    with pytest.raises(MountError, match="as root: chmod 666 /dev/fuse"):
        mounting.prepare(point)


def test_no_fusermount(point: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounting, "fusermount", lambda: None)
    monkeypatch.setattr(mounting.os, "geteuid", lambda: 1000)
    with pytest.raises(MountError, match="apt install fuse"):
        mounting.prepare(point)


@pytest.mark.skipif(os.getuid() != 0, reason="only root has a capability to give up")
def test_what_libfuse_says_becomes_the_line(point: Path) -> None:
    weak = ["setpriv", "--bounding-set", "-sys_admin", "--", *VMFS, "mount", *TINY, str(point)]
    done = subprocess.run(weak, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("vmfs: mount: ")
    assert done.stderr.count("\n") == 1
    assert "not permitted: a container needs --device /dev/fuse --cap-add SYS_ADMIN" in done.stderr


def test_a_log_that_cannot_be_written(point: Path) -> None:
    assert "/nowhere/log" in refusal("mount", *TINY, "--log", "/nowhere/log", str(point))
    assert mount_at(str(point)) is None


# Users


def as_user(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.ordinary_user", str(USER), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def own_point() -> Iterator[Path]:
    """A mount point of the ordinary user's."""
    with tempfile.TemporaryDirectory(prefix="vmfs-") as folder:
        Path(folder).chmod(0o755)
        point = Path(folder) / "machine"
        point.mkdir()
        os.chown(point, USER, USER)
        yield point
        if found := mount_at(str(point)):
            unmounting.detach(found.path, lazily=True)


def test_an_ordinary_user_mounts_and_unmounts_with_fusermount(own_point: Path) -> None:
    done = as_user("mount", *TINY, str(own_point))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"user_id={USER}" in mount_options(own_point)
    if os.getuid() == 0:
        with pytest.raises(PermissionError):  # not even root looks into another user's mount
            list(own_point.iterdir())

    pid = daemon(own_point)
    done = as_user("umount", str(own_point))
    assert (done.returncode, done.stderr, is_gone(pid)) == (0, "", True)


def test_an_ordinary_user_clears_a_dead_mount(own_point: Path) -> None:
    assert as_user("mount", *TINY, str(own_point)).returncode == 0
    kill(own_point)
    assert as_user("mount", *TINY, str(own_point)).returncode == 0
    kill(own_point)
    assert as_user("umount", str(own_point)).returncode == 0
    assert mount_at(str(own_point)) is None


@pytest.mark.skipif(os.getuid() != 0, reason="another user's directory takes root to make")
def test_a_mount_point_of_somebody_else(point: Path) -> None:
    point.parent.chmod(0o755)
    done = as_user("mount", *TINY, "/usr/share")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)


def mount_options(point: Path) -> str:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return next(line for line in lines if f" {point} " in line)


# Clients, all at once

PROCESSES = 8
OPERATIONS = 10_000
FILES = ("meminfo", "vmstat", "zoneinfo", "buddyinfo", "slabinfo", "pagetypeinfo", "swaps", "stat", "uptime")
KNOBS = {
    "sys/vm/swappiness": ("10", "100", "x", "-1"),
    "sys/vm/min_free_kbytes": ("2048", "8192", "", "9" * 30),
    "sys/vm/nr_hugepages": ("0", "5", "30", "100000"),
    "sys/vm/drop_caches": ("1", "2", "3", "9"),
    "sys/vm/compact_memory": ("1",),
    "sys/vm/overcommit_ratio": ("50", "60"),
    "sys/vm/dirty_bytes": ("8192", "1"),
}
LINES = (
    "read 8M files=10",
    "write 4M",
    "start t anon=6M",
    "stop t",
    "slab dentry 100",
    "fragment keep=0.9",
    "x",
)
REFUSALS = {errno.EINVAL, errno.ENOMEM, errno.ESRCH, errno.ENOENT, errno.EACCES}


def client(root: str, seed: int) -> int:
    """One process's share; how many operations were refused in the kernel's way."""
    rng = random.Random(seed)
    refused = 0
    for _ in range(OPERATIONS // PROCESSES):
        try:
            rng.choice((read_whole, read_in_pieces, read_whole, turn_a_knob, send_a_line))(root, rng)
        except OSError as fault:
            if fault.errno not in REFUSALS:
                raise
            refused += 1
    return refused


def read_whole(root: str, rng: random.Random) -> None:
    check_text(Path(root, "proc", rng.choice(FILES)).read_text())


def read_in_pieces(root: str, rng: random.Random) -> None:
    name = rng.choice(FILES)
    with Path(root, "proc", name).open("rb", buffering=0) as file:
        for _ in range(2):
            pieces = b"".join(iter(lambda: file.read(rng.choice((100, 1000))), b""))
            check_text(pieces.decode())
            file.seek(0)


def check_text(text: str) -> None:
    """Of one state: lines that say the same thing twice agree."""
    assert text.endswith("\n")
    if "HugePages_Total" in text:
        value = {line.split(":")[0]: int(line.split()[1]) for line in text.splitlines()}
        assert value["HugePages_Total"] * value["Hugepagesize"] == value["Hugetlb"]
    if "pages free" in text:
        free = [int(line.split()[-1]) for line in text.splitlines() if "pages free " in line]
        counted = [int(line.split()[-1]) for line in text.splitlines() if "nr_free_pages " in line]
        assert [pages for pages in free if pages] == [pages for pages in counted if pages]


def turn_a_knob(root: str, rng: random.Random) -> None:
    name = rng.choice(sorted(KNOBS))
    Path(root, "proc", name).write_text(rng.choice(KNOBS[name]) + "\n")


def send_a_line(root: str, rng: random.Random) -> None:
    Path(root, "vmfs/ctl").write_text(rng.choice(LINES) + "\n")


@pytest.mark.slow
def test_ten_thousand_operations_by_many_processes(point: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    vmfs("mount", *TINY, "--log", str(log), str(point))
    pid = daemon(point)
    with get_context("spawn").Pool(PROCESSES) as pool:
        refused = pool.starmap(client, [(str(point), seed) for seed in range(PROCESSES)], chunksize=1)

    assert sum(refused) > 100
    assert daemon(point) == pid
    assert log.read_text() == ""
    assert free_pages(point) == {json.loads((point / "vmfs/status").read_text())["totals"]["free_pages"]}


def free_pages(point: Path) -> set[int]:
    """What each file says is free."""
    meminfo = (point / "proc/meminfo").read_text()
    buddyinfo = [map(int, line.split()[4:]) for line in (point / "proc/buddyinfo").read_text().splitlines()]
    zoneinfo = (point / "proc/zoneinfo").read_text().splitlines()
    vmstat = (point / "proc/vmstat").read_text().split()
    return {
        int(meminfo.split()[4]) // 4,
        sum(count << order for orders in buddyinfo for order, count in enumerate(orders)),
        sum(int(line.split()[-1]) for line in zoneinfo if "pages free " in line),
        int(vmstat[vmstat.index("nr_free_pages") + 1]),
    }


def test_threads_of_one_process_share_a_tree() -> None:
    tree = Tree(small_machine())
    faults: list[Exception] = []

    def work(seed: int) -> None:
        rng = random.Random(seed)
        try:
            for _ in range(300):
                check_text(tree.read(f"/proc/{rng.choice(FILES)}"))
                tree.write("/proc/sys/vm/nr_hugepages", f"{rng.randrange(50)}\n")
        except (OSError, AssertionError, LookupError) as fault:
            faults.append(fault)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults


def test_a_fault_of_ours_is_eio_in_the_client_and_a_traceback_in_the_log(point: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = (
        "import sys, vmfs.views.proc.meminfo as m\n"
        "from vmfs import views\n"
        "from vmfs.cli import main\n"
        "from vmfs.views.entry import File, top\n"
        "m.DIRS = (top('/proc', File('meminfo', lambda machine: 1 // 0)),)\n"
        "main()"
    )
    command = [sys.executable, "-c", code, "mount", *TINY, "--log", str(log), str(point)]
    subprocess.run(command, check=True, timeout=60)

    with pytest.raises(OSError, match="Input/output") as refused:
        (point / "proc/meminfo").read_text()
    assert refused.value.errno == errno.EIO
    assert (point / "proc/buddyinfo").read_text().startswith("Node 0")
    assert "ZeroDivisionError" in log.read_text()
    vmfs("umount", str(point))
