"""What a recorded machine boots into: busybox, the probe, modules, and the tables they obey."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

from scripts.recording import cpio, linux, packages
from scripts.recording.faults import Fault

GUEST = Path(__file__).parent / "guest"
FOLDERS = ("bin", "dev", "mnt", "modules", "proc", "sys")


def build(kernel: linux.Linux, program: str, cache: Path) -> bytes:
    """`program` is what scripts/recording/steps.py compiled. Packed: its size shows in watermarks."""
    modules = linux.module_files(kernel)
    order = "\n".join(name for name, _ in modules)
    archive = cpio.archive(
        [
            *map(cpio.folder, FOLDERS),
            cpio.character_device("dev/console", 5, 1),
            cpio.file("init", (GUEST / "init").read_bytes(), 0o755),
            cpio.file("bin/busybox", busybox(kernel, cache).read_bytes(), 0o755),
            cpio.file("bin/probe", probe(kernel, cache), 0o755),
            cpio.file("steps", program.encode()),
            cpio.file("calls", (GUEST / "calls").read_bytes()),
            cpio.file("write_table", (GUEST / "write_table").read_bytes()),
            cpio.file("modules/order", order.encode()),
            *(cpio.file(f"modules/{name}", content) for name, content in modules),
        ]
    )
    return gzip.compress(archive, mtime=0)


def busybox(kernel: linux.Linux, cache: Path) -> Path:
    """An installed busybox if it is static and of the kernel's kind, else the one of Debian's package."""
    installed = shutil.which("busybox")
    if installed and is_static(Path(installed)) and kernel.is_64_bit:
        return Path(installed)
    package = "busybox-static" if kernel.is_64_bit else "busybox-static:i386"
    deb = packages.download(package, cache)
    tree = packages.unpack([deb], cache / deb.stem, lambda path: path.endswith("bin/busybox"))
    return next(tree.rglob("busybox"))


def is_static(program: Path) -> bool:
    """Whether it names no interpreter (PT_INTERP) to load libraries with."""
    return b"ld-linux" not in program.read_bytes()[:4096]


def probe(kernel: linux.Linux, cache: Path) -> bytes:
    packages.need("gcc")
    kind = [] if kernel.is_64_bit else ["-m32"]
    target = cache / ("probe" if kernel.is_64_bit else "probe-i386")
    try:
        packages.run("gcc", "-static", "-O2", *kind, "-o", target, *sorted(GUEST.glob("*.c")))
    except Fault as fault:
        if kind:
            raise Fault(f"{fault}; for 32 bits, as root: apt-get install gcc-multilib") from None
        raise
    return target.read_bytes()
