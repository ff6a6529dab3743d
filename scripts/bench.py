"""The measurements of scripts/bench. Each row: what, ours, against what, the ratio, the goal."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

VMFS = Path(sys.executable).with_name("vmfs")
ROUNDS = 5
ONE_CPU = ("taskset", "-c", str(min(os.sched_getaffinity(0))))
UMOUNT = ("umount",) if os.getuid() == 0 else ("fusermount", "-u")
POOL = Path("/proc/sys/vm/nr_hugepages")
NODE_FILES = ("meminfo", "numastat")
SYSCTLS = {"swappiness": 1.5, "min_free_kbytes": None}  # the second sets up every zone, as in the kernel
FILE_SET = ("meminfo", "vmstat", "zoneinfo", "buddyinfo", "slabinfo", "stat", "swaps")


@contextmanager
def mount(machine: str, *prefix: str) -> Iterator[Path]:
    """A machine on a mount point; `prefix` is a command to start it with."""
    with TemporaryDirectory(prefix="vmfs-bench-") as folder:
        subprocess.run([*prefix, VMFS, "mount", "--machine", machine, folder], check=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run([VMFS, "umount", folder], check=True)


@contextmanager
def server(command: tuple[str, ...], folder: Path, probe: Path) -> Iterator[Path]:
    """Another FUSE server in the foreground, until `probe` answers; yields the probe."""
    with subprocess.Popen(
        [*command, folder], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            deadline = time.monotonic() + 10
            while not probe.exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{command[-1]} does not answer")
                time.sleep(0.05)
            yield probe
        finally:
            subprocess.run([*UMOUNT, folder], check=True)
            process.wait(10)


def median_seconds(call: Callable[[], object], rounds: int = ROUNDS) -> float:
    def once() -> float:
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    return statistics.median(once() for _ in range(rounds))


def row(what: str, ours: str, against: str, ratio: float, goal: float | None = None) -> None:
    """Rows without a goal are there to be known."""
    verdict = "" if goal is None else f"(goal {goal:.3g})" if ratio <= goal else f"(goal {goal:.3g}) MISSED"
    print(f"{what:<46} {ours:>10}  {against:<34} {ratio:8.3f} {verdict}", flush=True)


def daemon_megabytes(folder: Path) -> float:
    """Resident memory of the process whose command line names the mount point."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            arguments = (process / "cmdline").read_bytes().split(b"\0")
            if os.fsencode(folder) in arguments and process.name != str(os.getpid()):
                found = re.search(r"VmRSS:\s+(\d+)", (process / "status").read_text())
                if found:
                    return int(found[1]) / 1024
    raise RuntimeError(f"no daemon serves {folder}")


def start(machine: str, seconds: float, megabytes: float) -> None:
    """From `vmfs mount` to the first zoneinfo, and what the daemon then occupies."""
    times, sizes = [], []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        with mount(machine) as folder:
            subprocess.run(["cat", folder / "proc/zoneinfo"], stdout=subprocess.DEVNULL, check=True)
            times.append(time.perf_counter() - begin)
            sizes.append(daemon_megabytes(folder))
    taken, size = statistics.median(times), statistics.median(sizes)
    row(f"{machine}: mount to first zoneinfo", f"{taken:.2f} s", f"the goal, {seconds} s", taken / seconds, 1)
    row(
        f"{machine}: memory of the daemon",
        f"{size:.0f} MB",
        f"the goal, {megabytes:.0f} MB",
        size / megabytes,
        1,
    )


def huge_pages() -> None:
    """A million huge pages of the 64 TiB machine, and the real kernel's own time a page."""
    with mount("huge") as folder:
        pool = folder / "proc/sys/vm/nr_hugepages"
        times = []
        for _ in range(ROUNDS):
            begin = time.perf_counter()
            pool.write_text("1000000")
            times.append(time.perf_counter() - begin)
            assert pool.read_text() == "1000000\n"
            pool.write_text("0")
    taken = statistics.median(times)
    row("huge: nr_hugepages 1000000", f"{taken:.3f} s", "the goal, 1 s", taken, 1)
    if (real := real_page_seconds()) is not None:
        name = f"the real kernel, {real * 1e6:.1f} us a page"
        row("huge: nr_hugepages, a page", f"{taken:.3f} us", name, taken / 1e6 / real, 1)


def real_page_seconds() -> float | None:
    """This host's kernel on up to 1000 huge pages; None where nobody may ask it."""
    if not os.access(POOL, os.W_OK):
        return None
    before = int(POOL.read_text())
    times = []
    try:
        for _ in range(ROUNDS):
            begin = time.perf_counter()
            POOL.write_text(str(before + 1000))
            taken = time.perf_counter() - begin
            if got := int(POOL.read_text()) - before:
                times.append(taken / got)
            POOL.write_text(str(before))
    except OSError:
        return None
    finally:
        POOL.write_text(str(before))
    return statistics.median(times) if times else None


def read_micros(path: Path, count: int = 2000) -> float:
    """open+read+close, in a process on the same CPU as the servers; the best of the loop's thirds."""
    code = (
        "import os,sys,time\n"
        "def once(p=sys.argv[1]):\n"
        "    f=os.open(p,os.O_RDONLY); os.read(f,65536); os.close(f)\n"
        "n=int(sys.argv[2]); once(); t=time.perf_counter()\n"
        "for _ in range(n): once()\n"
        "print((time.perf_counter()-t)/n*1e6)"
    )
    done = subprocess.run(
        [*ONE_CPU, sys.executable, "-c", code, path, str(count)], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def meminfo() -> None:
    """Everything on one CPU: waking an idle one would hide the rest."""
    with TemporaryDirectory() as a, TemporaryDirectory() as b, mount("article", *ONE_CPU) as folder:
        ours = folder / "proc/meminfo"
        bare = server((*ONE_CPU, sys.executable, __file__, "--bare"), Path(a), Path(a) / "meminfo")
        lxcfs = server((*ONE_CPU, "lxcfs", "-f"), Path(b), Path(b) / "proc/meminfo")
        with bare as bare_file, lxcfs as lxcfs_file:
            files = {"ours": ours, "LXCFS": lxcfs_file, "a bare fusepy file": bare_file}
            files["the real /proc"] = Path("/proc/meminfo")
            rounds = [{name: read_micros(path) for name, path in files.items()} for _ in range(ROUNDS)]
    medians = {name: statistics.median(r[name] for r in rounds) for name in files}
    mine = medians.pop("ours")
    goals = {"LXCFS": 1 / 3}
    for name, value in medians.items():
        against = f"{name}, {value:.1f} us"
        row("meminfo: open, read, close", f"{mine:.1f} us", against, mine / value, goals.get(name))


def file_set() -> None:
    """The files that monitoring reads, together, against the real /proc and /sys."""
    with mount("article", *ONE_CPU) as folder:
        ours, real = (sum(map(read_micros, paths(root))) for root in (folder, Path("/")))
    row("the set of files", f"{ours:.0f} us", f"the real ones, {real:.0f} us", ours / real)


def paths(root: Path) -> list[Path]:
    """Node 0 alone, so that both machines are asked for the same number of files."""
    node = root / "sys/devices/system/node/node0"
    files = [root / "proc" / name for name in FILE_SET] + [node / name for name in NODE_FILES]
    return [path for path in files if os.access(path, os.R_OK)]


def sysctl_write() -> None:
    """A write that changes one sysctl, on 64 TiB and on 512 MiB."""
    with mount("huge") as huge, mount("tiny") as tiny:
        seconds = {}
        for name, goal in SYSCTLS.items():
            for machine in (huge, tiny):
                knob = machine / "proc/sys/vm" / name
                values = (int(knob.read_text()), int(knob.read_text()) + 1)
                seconds[machine] = median_seconds(
                    lambda k=knob, v=values: [k.write_text(str(x)) for x in v], 200
                )
            against = f"tiny (512 MiB), {seconds[tiny] * 5e5:.0f} us"
            ratio = seconds[huge] / seconds[tiny]
            row(f"huge (64 TiB): write to {name}", f"{seconds[huge] * 5e5:.0f} us", against, ratio, goal)


def simulated_day() -> None:
    """86,400 ticks of a second: two nodes, 256 GiB, fifty tasks that grow, and files written meanwhile."""
    from vmfs import boot, spec
    from vmfs.kernel import Kernel
    from vmfs.mm.machine import Machine

    nodes = tuple(spec.NodeSpec(128 << 30, tuple(range(8 * n, 8 * n + 8))) for n in range(2))
    described = spec.Spec("day", Kernel.of((6, 12)), nodes)
    machine = Machine.from_snapshot(boot.boot(described))
    for i in range(50):
        machine.start(f"task{i}", anon=10_000, nid=i % 2, grow=5.0 + i % 7)
    begin = time.process_time()
    for second in range(86_400):
        if second % 60 == 0:
            machine.write_files(1000)
        machine.tick(1)
    taken = time.process_time() - begin
    row("256 GiB, 50 tasks: a simulated day", f"{taken:.1f} s", "the goal, 20 s", taken / 20, 1)


def serve_bare(folder: str) -> None:
    """One file of meminfo's length on fusepy, with nothing behind it."""
    import fuse

    text = Path("/proc/meminfo").read_bytes()

    class Bare(fuse.Operations):
        flush = None

        def getattr(self, path: str, fh: int | None = None) -> dict[str, int]:
            del fh
            if path == "/":
                return {"st_mode": 0o40555, "st_nlink": 2}
            return {"st_mode": 0o100444, "st_nlink": 1, "st_size": len(text)}

        def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
            del path, fh
            return text[offset : offset + size]

    fuse.FUSE(Bare(), folder, foreground=True, nothreads=True, direct_io=True)


def main() -> None:
    if sys.argv[1:2] == ["--bare"]:
        serve_bare(sys.argv[2])
        return
    start("huge", 1.0, 300)
    start("article", 0.5, 100)
    huge_pages()
    meminfo()
    file_set()
    sysctl_write()
    simulated_day()


if __name__ == "__main__":
    main()
