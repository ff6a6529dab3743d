"""A tour through the machine `article`: what it shows, and what writes do to it.

`scripts/try` prints it; tests/test_tour.py walks the same stops and checks the numbers.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

BIN = Path(sys.executable).parent
NODES = "sys/devices/system/node"
ZONES = (
    "awk '/^Node/ {zone = $0} {value[$1] = $2} /pages free/ {free = $3} "
    '/protection/ && value["managed"] {print zone, "free", free, "min", value["min"], "low", value["low"], '
    """"high", value["high"], "managed", value["managed"], $0}'"""
)
"""One line for each zone that has memory."""


@dataclass(frozen=True, slots=True)
class Stop:
    """A thing to see: a sentence, and the shell commands that show it, run at the mount."""

    name: str
    says: str
    commands: tuple[str, ...]


TOUR = (
    Stop(
        "nodes",
        "Two nodes of 16 GiB; memory of the other node is 2.1 times as far.",
        (
            f"cat {NODES}/online",
            f"grep -h MemTotal {NODES}/node*/meminfo",
            f"head {NODES}/node*/distance",
        ),
    ),
    Stop(
        "zones",
        "Node 0 has DMA, DMA32 and Normal, node 1 has Normal; free pages, watermarks, reserves.",
        (f"{ZONES} proc/zoneinfo",),
    ),
    Stop(
        "buddyinfo",
        "Free blocks of 1, 2, 4, ... 1024 pages.",
        ("cat proc/buddyinfo",),
    ),
    Stop(
        "kmalloc",
        "The slab caches behind kmalloc().",
        ("head -2 proc/slabinfo | tail -1", "grep '^kmalloc-[0-9]' proc/slabinfo"),
    ),
    Stop(
        "nr_hugepages",
        "1024 huge pages are taken from both nodes in turn: free blocks become a pool.",
        (
            "echo 1024 > proc/sys/vm/nr_hugepages",
            "grep -E 'MemFree|Huge' proc/meminfo",
            "cat proc/buddyinfo",
            f"head {NODES}/node*/hugepages/hugepages-2048kB/nr_hugepages",
            f"grep -h -E 'MemFree|HugePages_' {NODES}/node*/meminfo",
        ),
    ),
    Stop(
        "node_pool",
        "The pool of one node alone.",
        (
            f"echo 1000 > {NODES}/node1/hugepages/hugepages-2048kB/nr_hugepages",
            f"head {NODES}/node*/hugepages/hugepages-2048kB/nr_hugepages",
            "cat proc/sys/vm/nr_hugepages",
        ),
    ),
    Stop(
        "partial",
        "A request for more than there is succeeds and is granted in part.",
        (
            "echo 100000 > proc/sys/vm/nr_hugepages",
            "cat proc/sys/vm/nr_hugepages",
            "grep MemFree proc/meminfo",
            "echo 0 > proc/sys/vm/nr_hugepages",
        ),
    ),
    Stop(
        "fragmented",
        "Pages scattered over half of memory: there is as much free as before, but not in one piece.",
        (
            "vmfs ctl 'fragment keep=0.5'",
            "cat proc/buddyinfo",
            "echo 100000 > proc/sys/vm/nr_hugepages",
            "cat proc/sys/vm/nr_hugepages",
            "echo 0 > proc/sys/vm/nr_hugepages",
        ),
    ),
    Stop(
        "compact_memory",
        "Compaction moves what can be moved, and the same request gets more.",
        (
            "echo 1 > proc/sys/vm/compact_memory",
            "grep -E 'compact_(migrate|free)_scanned|compact_isolated' proc/vmstat",
            "cat proc/buddyinfo",
            "echo 100000 > proc/sys/vm/nr_hugepages",
            "cat proc/sys/vm/nr_hugepages",
            "echo 0 > proc/sys/vm/nr_hugepages",
        ),
    ),
    Stop(
        "read",
        "Files are read: their pages, dentries and inodes stay in memory.",
        (
            "vmfs ctl 'read 4G files=20000'",
            "grep -E 'MemFree|^Cached|SReclaimable' proc/meminfo",
            "grep -E '^(dentry|ext4_inode_cache) ' proc/slabinfo",
        ),
    ),
    Stop(
        "drop_caches_1",
        "1 drops clean page cache and nothing else.",
        ("echo 1 > proc/sys/vm/drop_caches", "grep -E 'MemFree|^Cached|SReclaimable' proc/meminfo"),
    ),
    Stop(
        "drop_caches_2",
        "2 drops dentries and inodes and nothing else.",
        (
            "vmfs ctl 'read 4G'",
            "echo 2 > proc/sys/vm/drop_caches",
            "grep -E 'MemFree|^Cached|SReclaimable' proc/meminfo",
        ),
    ),
    Stop(
        "drop_caches_3",
        "3 drops both.",
        (
            "vmfs ctl 'read 1G files=20000'",
            "echo 3 > proc/sys/vm/drop_caches",
            "grep -E 'MemFree|^Cached|SReclaimable' proc/meminfo",
            "grep -E '^drop_' proc/vmstat",
        ),
    ),
    Stop(
        "min_free_kbytes",
        "Watermarks follow min_free_kbytes in every zone; with memory full of page cache, kswapd\n"
        "reclaims until each node has a zone above its high watermark.",
        (
            "vmfs ctl 'read 110%'",
            "grep -E 'MemFree|^Cached' proc/meminfo",
            "echo 1048576 > proc/sys/vm/min_free_kbytes",
            f"{ZONES} proc/zoneinfo",
            "grep -E 'MemFree|^Cached' proc/meminfo",
            "grep -E '^(pgscan|pgsteal)_kswapd|pageoutrun' proc/vmstat",
        ),
    ),
    Stop(
        "min_slab_ratio",
        "A limit for slab means nothing while memory is ample ...",
        (
            "echo 3 > proc/sys/vm/drop_caches",
            "vmfs ctl 'read 1G files=1000000 node=0'",
            "grep SReclaimable proc/meminfo",
            "echo 1 > proc/sys/vm/min_slab_ratio",
            "echo 7 > proc/sys/vm/zone_reclaim_mode",
            "grep SReclaimable proc/meminfo",
        ),
    ),
    Stop(
        "node_reclaim",
        "... and only when a zone falls below its watermark, with zone_reclaim_mode on, is slab reclaimed.",
        (
            "vmfs ctl 'start hog anon=14G node=0'",
            f"grep -h -E 'MemFree|SReclaimable' {NODES}/node0/meminfo",
            "grep -E 'zone_reclaim|slabs_scanned' proc/vmstat",
            "vmfs ctl 'stop hog'",
        ),
    ),
)


def run(command: str, root: Path) -> str:
    """What a shell at the mount prints; a command that fails ends the tour."""
    environment = os.environ | {"VMFS_ROOT": str(root), "PATH": f"{BIN}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    if done.returncode:
        raise RuntimeError(f"{command}: {done.stdout.strip()}")
    return done.stdout


def walk(root: Path) -> Iterator[tuple[Stop, str, str]]:
    """Every command of the tour in turn: its stop, the command, what it printed."""
    for stop in TOUR:
        for command in stop.commands:
            yield stop, command, run(command, root)


def show(root: Path) -> None:
    """The tour for people."""
    seen = None
    for stop, command, output in walk(root):
        if stop is not seen:
            print(f"\n# {stop.says}".replace("\n", "\n# ").replace("# #", "#"))
            seen = stop
        print(f"$ {command}\n{output}", end="", flush=True)


def offer_shell(root: Path) -> None:
    """On a terminal: a shell at the mount, until it exits."""
    if sys.stdin.isatty() and input("\nA shell on this machine? [y/N] ").lower().startswith("y"):
        print(f"The machine is mounted at {root} ($VMFS_ROOT); `exit` unmounts it.")
        environment = os.environ | {"VMFS_ROOT": str(root), "PATH": f"{BIN}:{os.environ['PATH']}"}
        subprocess.run([os.environ.get("SHELL", "sh")], cwd=root, env=environment)


def main() -> None:
    with TemporaryDirectory(prefix="vmfs-") as folder:
        print(f"$ vmfs mount --machine article {folder}")
        subprocess.run([BIN / "vmfs", "mount", "--machine", "article", folder], check=True)
        try:
            show(Path(folder))
            offer_shell(Path(folder))
        finally:
            print(f"\n$ vmfs umount {folder}")
            subprocess.run([BIN / "vmfs", "umount", folder], check=True)


if __name__ == "__main__":
    main()
