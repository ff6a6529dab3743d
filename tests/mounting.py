"""Mounts for tests and scripts: a daemon of their own, always unmounted."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VMFS = (sys.executable, "-m", "vmfs")


@contextmanager
def mounted(*options: str) -> Iterator[Path]:
    """`vmfs mount OPTIONS` on a fresh mount point; yields it."""
    with tempfile.TemporaryDirectory(prefix="vmfs-") as folder:
        point = Path(folder) / "machine"
        point.mkdir()
        os.chmod(folder, 0o755)  # other users look in too
        vmfs("mount", *options, str(point))
        try:
            yield point
        finally:
            vmfs("umount", str(point))


def vmfs(*arguments: str) -> str:
    """Runs a vmfs command that must succeed; its standard output."""
    done = subprocess.run([*VMFS, *arguments], capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise RuntimeError(f"vmfs {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
