"""Packages: which ones are missing, and how to look into one without installing it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

from scripts.recording.faults import Fault

PACKAGES = {
    "gcc": "gcc libc6-dev",
    "mkfs.ext4": "e2fsprogs",
    "dpkg-deb": "dpkg",
    "apt-get": "apt",
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-system-i386": "qemu-system-x86",
}
"""Program -> the Debian packages that have it."""

SEARCH_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"  # an ordinary user's PATH lacks mkfs


def need(*programs: str) -> None:
    missing = [program for program in programs if shutil.which(program, path=SEARCH_PATH) is None]
    if missing:
        packages = " ".join(dict.fromkeys(PACKAGES[program] for program in missing))
        raise Fault(f"not installed: {', '.join(missing)}; as root: apt-get install {packages}")


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Its standard output; a failure is a Fault with the last line it said."""
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, env=os.environ | {"PATH": SEARCH_PATH}
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["failed"]
        raise Fault(f"{Path(command[0]).name}: {said[-1].removeprefix('E: ')}")
    return done.stdout


def download(package: str, into: Path) -> Path:
    """The .deb of a package, as `apt-get download` gives it; kept in `into` for the next time."""
    need("apt-get", "dpkg-deb")
    found = re.search(r"^'\S+' (\S+)", run("apt-get", "download", "--print-uris", package), re.MULTILINE)
    if found is None:
        raise Fault(f"{package}: apt-get knows no such package; as root: apt-get update")
    if not (into / found[1]).exists():
        run("apt-get", "download", package, cwd=into)
    return next(path for path in into.iterdir() if path.name in (found[1], found[1].replace("%3a", ":")))


def depends(deb: Path) -> list[str]:
    """The names of the packages it depends on."""
    field = run("dpkg-deb", "--field", deb, "Depends")
    return [part.split()[0] for part in field.replace("|", ",").split(",") if part.strip()]


def unpack(debs: list[Path], into: Path, wanted: Callable[[str], object]) -> Path:
    """Those regular files of some .debs whose path (without "./") is wanted; done once."""
    if not into.exists():
        fresh = into.with_name(into.name + f".{os.getpid()}")
        fresh.mkdir(parents=True)
        for deb in debs:
            _unpack(deb, fresh, wanted)
        fresh.rename(into)
    return into


def _unpack(deb: Path, into: Path, wanted: Callable[[str], object]) -> None:
    with (
        subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as source,
        tarfile.open(fileobj=source.stdout, mode="r|") as tar,
    ):
        for member in tar:
            path = member.name.removeprefix("./")
            if member.isreg() and wanted(path):
                target = into / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(tar.extractfile(member).read())
