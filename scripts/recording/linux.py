"""The kernel to record: its image, and those of its modules that the machine's disks and port need."""

from __future__ import annotations

import gzip
import lzma
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from scripts.recording import packages
from scripts.recording.faults import Fault

MODULES = ("virtio_pci", "virtio_blk", "virtio_console", "jbd2", "ext4")
"""In the order in which modprobe loads them, where slab caches tell it: jbd2 before mbcache."""
MAYBE = ("crc32c_generic",)
"""ext4 asks for it by an alias; since 6.14 it is part of the kernel's library."""

LOWMEM_MEBIBYTES = 870
"""Of 32 bits' last GiB, without what vmalloc, kmap and the fixed mappings need."""

_WANTED = re.compile(
    r"boot/(vmlinuz|config)-.*|(usr/)?lib/modules/[^/]+/(vmlinuz|modules\.builtin|kernel/(arch|crypto|fs|lib"
    r"|drivers/(block|char|virtio))/.*)"
)
_PARTS = re.compile(r"linux-(image-.*|(base|binary|modules)-\d.*)")
"""Packages that a package of a kernel depends on: the newest one, or since 7.2 what one is divided into."""

_OPENED: dict[str, Callable[[bytes], bytes]] = {
    ".ko": bytes,
    ".ko.xz": lzma.decompress,
    ".ko.gz": gzip.decompress,
}


@dataclass(frozen=True, slots=True)
class Linux:
    """`modules` is lib/modules/VERSION, or None where there is none; `has_pae`: with 32 bits."""

    image: Path
    version: str
    is_64_bit: bool
    modules: Path | None
    has_pae: bool = False

    @property
    def release(self) -> str:
        """ "6.12" of "6.12.107+deb13-amd64"."""
        return ".".join(re.split(r"[.-]", self.version)[:2])

    def low_mebibytes(self, mebibytes: int) -> int:
        """What the kernel maps for itself of so much memory."""
        return mebibytes if self.is_64_bit else min(mebibytes, LOWMEM_MEBIBYTES)

    @property
    def huge_kbytes(self) -> int:
        """What one entry of its page middle directory maps."""
        return 2048 if self.is_64_bit or self.has_pae else 4096


def find(kernel: str, cache: Path) -> Linux:
    """`kernel` is the path of an image or a .deb, or the name of a package."""
    path = Path(kernel)
    if path.suffix == ".deb" and path.is_file():
        return _in_package(path, cache)
    if path.is_file():
        return _of_image(path, [path.absolute().parent.parent, Path("/"), Path("/usr")])
    if not re.fullmatch(r"[a-z0-9][a-z0-9+.:-]+", kernel):
        raise Fault(f"{kernel}: no such file; accepted: an image, a .deb, a package as linux-image-amd64")
    return _in_package(packages.download(kernel, cache), cache)


def _in_package(deb: Path, cache: Path) -> Linux:
    packages.need("dpkg-deb")
    tree = packages.unpack(_parts(deb, cache), cache / deb.stem, _WANTED.fullmatch)
    for image in (*tree.glob("boot/vmlinuz-*"), *tree.glob("usr/lib/modules/*/vmlinuz")):
        return _of_image(image, [tree, tree / "usr"])
    raise Fault(f"{deb.name}: no kernel image in it; accepted: a package linux-image-*")


def _parts(deb: Path, cache: Path) -> list[Path]:
    """A package and those that belong to it: files beside it, or else from where apt-get finds them."""
    parts = [deb]
    for name in filter(_PARTS.fullmatch, packages.depends(deb)):
        beside = sorted(deb.parent.glob(f"{name}_*.deb"))
        parts += _parts(beside[-1] if beside else packages.download(name, cache), cache)
    return parts


def _of_image(image: Path, roots: list[Path]) -> Linux:
    """Reads the header of Documentation/arch/x86/boot.rst."""
    head = image.read_bytes()[: 64 << 10]
    if head[0x202:0x206] != b"HdrS":
        raise Fault(f"{image}: not an x86 kernel image (bzImage)")
    start = int.from_bytes(head[0x20E:0x210], "little") + 0x200
    version = head[start : head.index(b"\0", start)].split()[0].decode()
    folders = [root / "lib/modules" / version for root in roots]
    modules = next((folder for folder in folders if folder.is_dir()), None)
    return Linux(image, version, bool(head[0x236] & 1), modules, _has_pae(image.parent / f"config-{version}"))


def _has_pae(config: Path) -> bool:
    """Nothing in an image's header says so; without a config beside it, it has none."""
    return config.is_file() and "\nCONFIG_X86_PAE=y\n" in config.read_text()


def module_files(linux: Linux) -> list[tuple[str, bytes]]:
    """(file name, content), each behind what it depends on."""
    if linux.modules is None:
        return []  # all built in, or the machine will say what it lacks
    files = {_name(path): path for path in linux.modules.rglob("*.ko*")}
    builtin = {_name(Path(line)) for line in (linux.modules / "modules.builtin").read_text().split()}
    ordered: dict[str, bytes] = {}
    for name in (*MAYBE, *MODULES):
        if name not in builtin and (name in files or name not in MAYBE):
            _add(name, files, linux, ordered)
    return [(f"{name}.ko", content) for name, content in ordered.items()]


def _add(name: str, files: dict[str, Path], linux: Linux, ordered: dict[str, bytes]) -> None:
    if name in ordered:
        return
    if name not in files:
        raise Fault(f"{linux.modules}: no module {name}")
    content = _content(files[name])
    for other in _depends(content):
        _add(other, files, linux, ordered)
    ordered[name] = content


def _name(path: Path) -> str:
    return path.name.split(".ko")[0].replace("-", "_")


def _content(path: Path) -> bytes:
    opened = _OPENED.get("".join(path.suffixes[-2:])) or _OPENED.get(path.suffix)
    if opened is None:
        raise Fault(f"{path}: cannot unpack it; accepted: {', '.join(_OPENED)}")
    return opened(path.read_bytes())


def _depends(module: bytes) -> Iterator[str]:
    """`depends=` of its .modinfo, so that no modules.dep is needed."""
    found = re.search(rb"\0depends=([^\0]*)\0", module)
    for name in (found[1].decode() if found else "").split(","):
        if name:
            yield name.replace("-", "_")
