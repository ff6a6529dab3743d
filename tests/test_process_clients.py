"""Unmodified tools that look at processes read a mount's: psutil, ps, top, pmap, pgrep, numastat."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.mounting import mounted, vmfs

MIB = 1 << 20


@dataclass
class Mount:
    """A mount, and the pids of what was started on it, by name."""

    root: Path
    pids: dict[str, int]

    def run(self, *command: str) -> str:
        """A command that finds the machine's /proc and node directories where it looks for them."""
        binds = "".join(f"mount --bind {self.root}/{place} /{place} && " for place in ("sys", "proc"))
        user = () if os.getuid() == 0 else ("--map-root-user",)
        done = subprocess.run(
            ("unshare", "--mount", *user, "sh", "-c", f'{binds} exec "$@"', "sh", *command),
            capture_output=True,
            text=True,
            timeout=60,
            env=os.environ | {"COLUMNS": "200", "LC_ALL": "C"},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module", params=["5.10", "7.2"])
def mount(request: pytest.FixtureRequest) -> Iterator[Mount]:
    started = {
        "db": "start db anon=512M file=20M shmem=64M node=1 uid=1",
        "spread": "start spread anon=200M policy=interleave oom_score_adj=300",
        "java": "start java anon=128M thp=1 huge=8",
    }
    with mounted("--kernel", request.param, "--clock", "manual") as root:
        (root / "proc/sys/vm/nr_hugepages").write_text("10")
        pids = {name: int(vmfs("ctl", "--at", str(root), line)) for name, line in started.items()}
        yield Mount(root, pids)


def test_psutil(mount: Mount, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(mount.root / "proc"))

    assert psutil.pids() == [1, *sorted(mount.pids.values())]
    db = psutil.Process(mount.pids["db"])
    memory = db.memory_full_info()
    assert (db.name(), db.exe(), db.cmdline()) == ("db", "/usr/bin/db", ["/usr/bin/db"])
    assert (db.ppid(), db.uids().real, db.status(), db.num_threads()) == (1, 1, "sleeping", 1)
    assert memory.rss == memory.uss == memory.pss == 596 * MIB
    assert memory.shared == 84 * MIB
    assert sum(m.rss for m in db.memory_maps()) == memory.rss
    assert db.io_counters().read_bytes == 20 * MIB
    assert (db.open_files(), db.num_fds(), db.environ(), db.terminal()) == ([], 0, {}, None)
    gone = psutil.Process(mount.pids["java"])
    assert gone.is_running()


def test_ps(mount: Mount) -> None:
    text = mount.run("ps", "-eo", "pid=,ppid=,uid=,stat=,rss=,vsz=,args=")
    found = {int(line.split()[0]): line.split()[1:] for line in text.splitlines()}
    sizes = (mount.root / "proc" / str(mount.pids["db"]) / "statm").read_text().split()

    assert set(found) == {1, *mount.pids.values()}
    assert found[mount.pids["db"]] == ["1", "1", "Ss", str(596 << 10), str(int(sizes[0]) * 4), "/usr/bin/db"]
    assert found[1][-1] == "/sbin/init"


def test_ps_shows_what_the_oom_killer_thinks(mount: Mount) -> None:
    text = mount.run("ps", "-o", "oom=,oomadj=,pss=,uss=", "-p", str(mount.pids["spread"]))
    directory = mount.root / "proc" / str(mount.pids["spread"])

    assert text.split() == [(directory / "oom_score").read_text().strip(), "300", "204800", "204800"]


def test_top(mount: Mount) -> None:
    text = mount.run("top", "-b", "-n1", "-w", "200")
    line = next(line for line in text.splitlines() if line.endswith(" db"))

    assert re.search(r"^Tasks: +4 total", text, re.MULTILINE)
    assert line.split()[5] == str(596 << 10)  # RES


def test_pmap(mount: Mount) -> None:
    text = mount.run("pmap", "-x", str(mount.pids["db"]))
    size, rss, dirty = map(int, text.splitlines()[-1].split()[-3:])

    assert rss == 596 << 10
    assert dirty == 576 << 10
    assert f"VmSize:\t{size:8} kB" in (mount.root / "proc" / str(mount.pids["db"]) / "status").read_text()


def test_pgrep(mount: Mount) -> None:
    assert mount.run("pgrep", "-x", "java").split() == [str(mount.pids["java"])]


def test_numastat(mount: Mount) -> None:
    """Of each process the megabytes on each node, huge pages apart."""

    def table(name: str) -> dict[str, list[float]]:
        lines = mount.run("numastat", "-p", str(mount.pids[name])).splitlines()
        return {
            line.split()[0]: [float(n) for n in line.split()[1:]]
            for line in lines
            if re.search(r"\d\.\d\d", line)
        }

    assert table("db")["Total"] == [0, 596, 596]
    spread = table("spread")["Total"]
    assert spread == [pytest.approx(100, abs=0.01), pytest.approx(100, abs=0.01), 200]
    assert table("java")["Huge"][-1] == 16
    assert table("java")["Total"][-1] == 128 + 16
    assert table("db")["Stack"][-1] == pytest.approx(3 * 4 / 1024, abs=0.01)
