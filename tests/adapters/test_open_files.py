"""Files that keep something by descriptor, through a mount: the log, triggers of pressure, hugetlbfs."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests import recordings
from tests.mounting import mounted

HUGE = 2 << 20
LIBC = ctypes.CDLL(None, use_errno=True)
POOL = ("HugePages_Total", "HugePages_Free", "HugePages_Rsvd", "HugePages_Surp")


@pytest.fixture
def mount() -> Iterator[Path]:
    with mounted("--machine", "article", "--kernel", "6.1", "--clock", "manual") as path:
        yield path


def control(mount: Path, *lines: str) -> None:
    (mount / "vmfs/ctl").write_text("\n".join(lines) + "\n")


@contextmanager
def opened(path: Path, flags: int) -> Iterator[int]:
    fd = os.open(path, flags, 0o600)
    try:
        yield fd
    finally:
        os.close(fd)


def errno_of(call, *args) -> int:
    with pytest.raises(OSError) as refused:
        call(*args)
    return refused.value.errno


# -- dev/kmsg ----------------------------------------------------------------------------------


def records(fd: int) -> list[str]:
    found = []
    while data := os.read(fd, 8192):
        found.append(data.decode())
    return found


def unread(fd: int) -> Iterator[str]:
    """The records that a descriptor which does not wait has still to read."""
    with suppress(BlockingIOError):
        while True:
            yield os.read(fd, 8192).decode()


def test_a_read_is_a_record(mount: Path) -> None:
    with opened(mount / "dev/kmsg", os.O_RDONLY) as fd:
        lines = records(fd)

    assert lines[0].startswith("5,0,0,-;Linux version 6.1.0-")
    assert [int(line.split(",")[1]) for line in lines] == list(range(len(lines)))
    assert all(re.fullmatch(r"\d+,\d+,\d+,-;[ -~]*\n", line) for line in lines)
    assert "".join(lines) == (mount / "dev/kmsg").read_text()


def test_the_end_is_waited_for_only_by_poll(mount: Path) -> None:
    with opened(mount / "dev/kmsg", os.O_RDONLY | os.O_NONBLOCK) as fd:
        with pytest.raises(BlockingIOError):
            records(fd)
        assert poll(fd, select.POLLIN, 0) == 0
        control(mount, "swapon 1G")
        assert poll(fd, select.POLLIN, 0) == select.POLLIN
        assert os.read(fd, 8192).endswith(b"k SSFS\n")


def test_seeking_goes_to_the_first_record_or_behind_the_last(mount: Path) -> None:
    with opened(mount / "dev/kmsg", os.O_RDONLY) as fd:
        first = os.read(fd, 8192)
        second = os.read(fd, 8192)
        os.lseek(fd, 0, os.SEEK_SET)
        assert os.read(fd, 8192) == first
        os.lseek(fd, 0, os.SEEK_END)
        assert os.read(fd, 8192) == b""
        control(mount, "swapon 1G")
        assert b"Adding " in os.read(fd, 8192)
        os.lseek(fd, len(first), os.SEEK_SET)
        assert os.read(fd, 8192) == second
        os.lseek(fd, 7, os.SEEK_SET)
        assert errno_of(os.read, fd, 8192) == errno.ESPIPE


def test_a_record_that_does_not_fit_is_refused_and_kept(mount: Path) -> None:
    with opened(mount / "dev/kmsg", os.O_RDONLY) as fd:
        assert errno_of(os.read, fd, 20) == errno.EINVAL
        assert os.read(fd, 8192).startswith(b"5,0,")


def test_user_space_writes_lines_with_levels(mount: Path) -> None:
    with opened(mount / "dev/kmsg", os.O_RDWR) as fd:
        os.lseek(fd, 0, os.SEEK_END)
        for line in (b"hello\n", b"<2>worse", b"<11>f\tirst\nsecond\\\n", b"<30>daemon"):
            assert os.write(fd, line) == len(line)
        assert errno_of(os.write, fd, b"x" * 1000) == errno.EINVAL
        told = records(fd)

    assert [line.split(",")[0] for line in told] == ["12", "10", "11", "30"]
    assert [line.partition(";")[2] for line in told] == [
        "hello\n",
        "worse\n",
        "f\\x09irst\\x0asecond\\x5c\n",
        "daemon\n",
    ]


def test_too_many_lines_are_dropped_and_counted(mount: Path) -> None:
    with opened(mount / "dev/kmsg", os.O_WRONLY) as fd:
        for number in range(15):
            os.write(fd, b"%d\n" % number)
    deadline = time.monotonic() + 10
    while "output lines suppressed" not in (mount / "dev/kmsg").read_text():  # a close is not waited for
        assert time.monotonic() < deadline
    last = (mount / "dev/kmsg").read_text().splitlines()[-2:]

    assert last[0].endswith(";9")
    assert last[1].endswith("5 output lines suppressed due to ratelimiting")


def test_who_was_overtaken_is_told_once(mount: Path) -> None:
    (mount / "proc/sys/kernel/printk_devkmsg").write_text("on\n")
    with opened(mount / "dev/kmsg", os.O_RDWR) as fd:
        for _ in range(300):
            os.write(fd, b"x" * 900)
        assert errno_of(os.read, fd, 8192) == errno.EPIPE
        assert int(os.read(fd, 8192).split(b",")[1]) > 100


def test_a_task_that_dies_of_hunger_wakes_who_follows_the_log(mount: Path) -> None:
    (mount / "proc/sys/vm/overcommit_memory").write_text("1\n")
    with opened(mount / "dev/kmsg", os.O_RDONLY | os.O_NONBLOCK) as fd:
        os.lseek(fd, 0, os.SEEK_END)
        assert errno_of(os.read, fd, 8192) == errno.EAGAIN
        starts = threading.Timer(0.2, lambda: errno_of(control, mount, "start leak anon=200%"))
        starts.start()
        assert poll(fd, select.POLLIN, 20) == select.POLLIN
        starts.join()
        told = [line.partition(";")[2] for line in unread(fd)]

    assert told[0].startswith("leak invoked oom-killer: gfp_mask=0x140dca(")
    assert any("\\x0a active_file:" in line for line in told)
    assert told[-1].startswith("Out of memory: Killed process ")


# -- proc/pressure -----------------------------------------------------------------------------


def poll(fd: int, events: int, seconds: float) -> int:
    poller = select.poll()
    poller.register(fd, events)
    return dict(poller.poll(seconds * 1000)).get(fd, 0)


def stalls(mount: Path) -> None:
    """Seconds of swapping."""
    (mount / "proc/sys/vm/overcommit_memory").write_text("1\n")
    control(mount, "swapon 16G", "start hog anon=120%")


@pytest.mark.parametrize("event", [select.POLLPRI, select.POLLERR])
def test_a_descriptor_without_a_trigger_never_sleeps(mount: Path, event: int) -> None:
    with opened(mount / "proc/pressure/memory", os.O_RDWR) as fd:
        assert poll(fd, event, 10) & event


def test_a_trigger_is_one_by_descriptor(mount: Path) -> None:
    with opened(mount / "proc/pressure/memory", os.O_RDWR) as fd:
        assert errno_of(os.write, fd, b"some 2000000 1000000\n") == errno.EINVAL
        assert os.write(fd, b"some 150000 1000000\n") == 20
        assert errno_of(os.write, fd, b"full 150000 1000000\n") == errno.EBUSY
        assert os.read(fd, 4096).startswith(b"some avg10=")
        with opened(mount / "proc/pressure/memory", os.O_RDWR) as other:
            assert os.write(other, b"full 150000 1000000\0") == 20


def test_stalls_wake_the_poller_once_a_window(mount: Path) -> None:
    with opened(mount / "proc/pressure/memory", os.O_RDWR) as fd:
        os.write(fd, b"some 150000 1000000\n")
        assert poll(fd, select.POLLPRI, 0) == 0
        stalls(mount)
        assert poll(fd, select.POLLPRI, 0) == 0  # no time has passed
        later = threading.Timer(0.2, control, (mount, "advance 0.5"))
        later.start()
        assert poll(fd, select.POLLPRI, 20) == select.POLLPRI
        later.join()
        assert poll(fd, select.POLLPRI, 0) == 0
        control(mount, "advance 0.2")
        assert poll(fd, select.POLLPRI, 0) == 0
        control(mount, "advance 1")
        assert poll(fd, select.POLLPRI, 0) == select.POLLPRI


def test_epoll_is_woken_as_well(mount: Path) -> None:
    with opened(mount / "proc/pressure/io", os.O_RDWR) as fd, select.epoll() as waiting:
        os.write(fd, b"full 100000 1000000\n")
        waiting.register(fd, select.EPOLLPRI)
        for _ in range(2):
            control(mount, "read 4G", "advance 2")
            assert waiting.poll(20) == [(fd, select.EPOLLPRI)]


def test_time_that_runs_by_itself_wakes_the_poller() -> None:
    with (
        mounted("--machine", "article", "--clock", "20x") as mount,
        opened(mount / "proc/pressure/memory", os.O_RDWR) as fd,
    ):
        os.write(fd, b"some 500000 1000000\n")
        stalls(mount)
        assert poll(fd, select.POLLPRI, 20) == select.POLLPRI


def test_averages_follow_the_stalls(mount: Path) -> None:
    def numbers(kind: str) -> list[float]:
        text = (mount / "proc/pressure/memory").read_text()
        return [
            float(n)
            for n in re.search(rf"{kind} avg10=(\S+) avg60=(\S+) avg300=(\S+) total=(\d+)", text).groups()
        ]

    assert numbers("some") == [0, 0, 0, 0]
    stalls(mount)
    control(mount, "advance 4.1")
    assert numbers("some") == [32.94, 6.43, 1.36, 4_100_000]  # two periods of 100 %
    assert numbers("full") == numbers("some")  # kswapd and the hog wait, nobody works
    control(mount, "advance 600")
    assert numbers("some")[:2] == [0, 0]
    assert numbers("some")[3] > 4_100_000


def test_a_new_swap_area_wakes_who_watches_them(mount: Path) -> None:
    with opened(mount / "proc/swaps", os.O_RDONLY) as fd:
        assert poll(fd, select.POLLPRI | select.POLLIN | select.POLLOUT, 0) == select.POLLIN
        later = threading.Timer(0.2, control, (mount, "swapon 1G"))
        later.start()
        assert poll(fd, select.POLLPRI, 20) == select.POLLPRI | select.POLLERR
        later.join()
        assert poll(fd, select.POLLPRI, 0) == 0


# -- dev/hugepages -----------------------------------------------------------------------------


def pool(text: str) -> tuple[int, ...]:
    return tuple(int(re.search(rf"{name}: +(\d+)", text)[1]) for name in POOL)


def shown(mount: Path) -> tuple[int, ...]:
    return pool((mount / "proc/meminfo").read_text())


@pytest.mark.parametrize("name", ["article-6.1", "small-6.1", "server-5.10", "quad-6.12", "latest-7.2"])
def test_counts_are_those_of_the_recorded_steps(name: str) -> None:
    """Steps 10 to 14: mapped and partly touched, unmapped, removed; beyond the pool, freed."""
    steps = {step.name[:2]: step for step in recordings.steps(recordings.load(name))}
    recorded = {number: pool((step / "proc/meminfo").read_text()) for number, step in steps.items()}

    with mounted("--from", str(steps["09"]), "--clock", "manual") as mount:
        size, touched = map(int, re.findall(r"\d+", (steps["10"] / "log").read_text())[:2])
        with opened(mount / "dev/hugepages/file", os.O_RDWR | os.O_CREAT) as fd:
            os.ftruncate(fd, size * HUGE)
            with mmap.mmap(fd, size * HUGE) as memory:
                for page in range(touched):
                    memory[page * HUGE] = 1
                assert shown(mount) == recorded["10"]
        assert shown(mount) == recorded["11"]
        (mount / "dev/hugepages/file").unlink()
        assert settles(mount, recorded["12"])

        size = int(re.search(r"\d+", (steps["13"] / "log").read_text())[0])
        with opened(mount / "dev/hugepages/file", os.O_RDWR | os.O_CREAT) as fd:
            os.posix_fallocate(fd, 0, size * HUGE)
            assert shown(mount) == recorded["13"]
        (mount / "dev/hugepages/file").unlink()
        assert settles(mount, recorded["14"])


def settles(mount: Path, wanted: tuple[int, ...]) -> bool:
    """The last close of a file is not waited for."""
    deadline = time.monotonic() + 10
    while shown(mount) != wanted and time.monotonic() < deadline:
        time.sleep(0.01)
    return shown(mount) == wanted


@pytest.fixture
def pages(mount: Path) -> Path:
    (mount / "proc/sys/vm/nr_hugepages").write_text("10\n")
    return mount / "dev/hugepages"


def test_sizes_are_whole_huge_pages(pages: Path) -> None:
    with opened(pages / "file", os.O_RDWR | os.O_CREAT) as fd:
        assert errno_of(os.ftruncate, fd, HUGE + 4096) == errno.EINVAL
        assert errno_of(os.truncate, pages / "file", 1) == errno.EINVAL
        os.truncate(pages / "file", 3 * HUGE)
        assert os.fstat(fd).st_size == 3 * HUGE
        assert os.fstat(fd).st_blksize == HUGE
        assert os.fstat(fd).st_blocks == 0
    assert os.statvfs(pages).f_bsize == HUGE
    assert os.statvfs(pages.parent / "hugepages-1G").f_bsize == 1 << 30


def test_writing_is_refused(pages: Path) -> None:
    with opened(pages / "file", os.O_RDWR | os.O_CREAT) as fd:
        os.ftruncate(fd, HUGE)
        assert errno_of(os.write, fd, b"x") == errno.EINVAL


def test_what_a_mapping_holds_is_there_for_the_next(pages: Path) -> None:
    with opened(pages / "file", os.O_RDWR | os.O_CREAT) as fd:
        os.ftruncate(fd, 2 * HUGE)
        with mmap.mmap(fd, 2 * HUGE) as memory:
            memory[HUGE - 3 : HUGE + 3] = b"abcdef"
    with opened(pages / "file", os.O_RDWR) as fd, mmap.mmap(fd, 2 * HUGE) as memory:
        assert memory[HUGE - 4 : HUGE + 4] == b"\0abcdef\0"


def test_more_than_the_pool_is_refused_and_changes_nothing(pages: Path) -> None:
    with opened(pages / "file", os.O_RDWR | os.O_CREAT) as fd:
        assert errno_of(os.ftruncate, fd, 11 * HUGE) == errno.ENOMEM
        assert shown(pages.parent.parent) == (10, 10, 0, 0)
        assert LIBC.fallocate(fd, 0, ctypes.c_long(0), ctypes.c_long(11 * HUGE)) == -1
        assert ctypes.get_errno() == errno.ENOSPC
        assert shown(pages.parent.parent)[1] == 0  # those it got stay
        assert os.fstat(fd).st_size == 0


def test_a_hole_is_punched_and_filled(pages: Path) -> None:
    keep_size, punch_hole = 1, 2
    with opened(pages / "file", os.O_RDWR | os.O_CREAT) as fd:
        os.posix_fallocate(fd, 0, 6 * HUGE)
        assert shown(pages.parent.parent)[1] == 4
        hole = (ctypes.c_long(HUGE // 2), ctypes.c_long(3 * HUGE))
        assert LIBC.fallocate(fd, keep_size | punch_hole, *hole) == 0
        assert shown(pages.parent.parent)[1] == 6
        assert os.fstat(fd).st_blocks == 4 * HUGE // 512


def test_a_removed_file_lives_as_long_as_it_is_open(pages: Path) -> None:
    with opened(pages / "file", os.O_RDWR | os.O_CREAT) as fd:
        os.posix_fallocate(fd, 0, 3 * HUGE)
        (pages / "file").unlink()
        assert os.listdir(pages) == []
        assert shown(pages.parent.parent)[1] == 7
        assert os.fstat(fd).st_size == 3 * HUGE
    assert settles(pages.parent.parent, (10, 10, 0, 0))


def test_no_page_for_a_mapping_is_sigbus(pages: Path) -> None:
    """The second file has what the first gave back when it punched a hole."""
    program = f"""
import ctypes, mmap, os
libc = ctypes.CDLL(None)
first, second = (os.open("{pages}/" + name, os.O_RDWR | os.O_CREAT) for name in "ab")
os.ftruncate(first, {HUGE})
memory = mmap.mmap(first, {HUGE})
libc.fallocate(first, 3, ctypes.c_long(0), ctypes.c_long({HUGE}))
libc.fallocate(second, 0, ctypes.c_long(0), ctypes.c_long(10 * {HUGE}))
memory[0] = 1
"""
    assert subprocess.run([sys.executable, "-c", program]).returncode == -signal.SIGBUS


def test_names_are_changed_by_who_may(pages: Path) -> None:
    (pages / "a").touch(mode=0o640)
    assert (pages / "a").stat().st_mode & 0o777 == 0o640 & ~current_umask()
    (pages / "a").rename(pages / "b")
    assert os.listdir(pages) == ["b"]
    assert errno_of(os.mkdir, pages / "c") == errno.EPERM
    assert errno_of(os.rename, pages / "b", pages.parent / "b") == errno.EXDEV
    assert errno_of(os.open, pages.parent / "new", os.O_CREAT | os.O_WRONLY) == errno.EPERM
    (pages / "b").unlink()
    assert errno_of(os.unlink, pages / "b") == errno.ENOENT


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_gigantic_pages_have_a_mount_of_their_own(mount: Path) -> None:
    gigantic = mount / "sys/kernel/mm/hugepages/hugepages-1048576kB"
    (gigantic / "nr_hugepages").write_text("2\n")
    with opened(mount / "dev/hugepages-1G/file", os.O_RDWR | os.O_CREAT) as fd:
        assert errno_of(os.ftruncate, fd, HUGE) == errno.EINVAL
        os.ftruncate(fd, 2 << 30)
        assert (gigantic / "resv_hugepages").read_text() == "2\n"
        assert errno_of(os.ftruncate, fd, 3 << 30) == errno.ENOMEM
