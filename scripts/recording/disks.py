"""The disks of a recorded machine: ext4 with files to read, and a swap area."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from tempfile import TemporaryDirectory

from scripts.recording import packages

FOLDERS, FILES_A_FOLDER, SMALL_BYTES = 40, 250, 4096
BIG_FILES, BIG_BYTES = 6, 64 << 20
DISK_SIZE = "1G"
SWAP_BYTES = 1 << 30
PAGE = 4096


def files_disk(cache: Path) -> Path:
    """The same for every recording: made once, and never written to by a machine."""
    disk = cache / "files.ext4"
    if not disk.exists():
        packages.need("mkfs.ext4")
        with TemporaryDirectory(dir=cache) as folder:
            tree, fresh = Path(folder, "tree"), Path(folder, "disk")
            _fill(tree)
            packages.run("mkfs.ext4", "-q", "-F", "-d", tree, fresh, DISK_SIZE)
            fresh.rename(disk)
    return disk


def _fill(tree: Path) -> None:
    for number in range(FOLDERS):
        folder = tree / "small" / f"{number:02}"
        folder.mkdir(parents=True)
        for file in range(FILES_A_FOLDER):
            (folder / f"{file:03}").write_bytes(os.urandom(16) * (SMALL_BYTES // 16))
    (tree / "big").mkdir()
    for number in range(BIG_FILES):
        (tree / "big" / str(number)).write_bytes(os.urandom(1 << 10) * (BIG_BYTES >> 10))


def swap_disk(path: Path) -> Path:
    """What mkswap writes: union swap_header of include/linux/swap.h, version 1, no bad pages."""
    header = bytearray(PAGE)
    struct.pack_into("<3I", header, 1024, 1, SWAP_BYTES // PAGE - 1, 0)
    header[1036:1052] = b"recorded machine"  # its UUID
    header[-10:] = b"SWAPSPACE2"
    with path.open("wb") as file:
        file.write(header)
        file.truncate(SWAP_BYTES)
    return path
