"""The command line of scripts/record."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from scripts.recording import disks, hardware, initramfs, linux, qemu, steps, stream
from scripts.recording.faults import Fault
from scripts.recording.hardware import Hardware
from vmfs.spec.sizes import SpecError

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vmfs-record"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--kernel", required=True, metavar="DEB|IMAGE|PACKAGE", help="As linux-image-amd64.")
@click.option("--name", help="Of the recording; default: machine-RELEASE.")
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), default=".", help="A folder.")
@click.option("--memory", metavar="SIZE", help="Without NUMA; default: 1G.")
@click.option("--cpus", type=int, help="Without NUMA; default: 2.")
@click.option("--node", "nodes", multiple=True, metavar="MEMORY:CPUS", help="As 1G:0-1; repeat.")
@click.option("--distance", "distances", multiple=True, metavar="A-B=N", help="As 0-1=21; repeat.")
@click.option("--steps", "steps_file", type=Path, default=initramfs.GUEST / "steps", metavar="FILE")
@click.option("--quick", is_flag=True, help="Leave out the steps that fill memory, and the table of writes.")
@click.option("--no-write-table", is_flag=True, help="Leave out the table of single writes.")
@click.option("--accel", type=click.Choice(["auto", "kvm", "tcg"]), default="auto", show_default=True)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=90,
    show_default=True,
    metavar="MINUTES",
)
def main(
    kernel: str,
    name: str | None,
    output: Path,
    memory: str | None,
    cpus: int | None,
    nodes: tuple[str, ...],
    distances: tuple[str, ...],
    steps_file: Path,
    quick: bool,
    no_write_table: bool,
    accel: str,
    timeout: float,
) -> None:
    """Record what a real kernel shows: boot it in QEMU, take it through the steps, write NAME.tar.xz.

    Without --node the machine has no NUMA. A node without CPUs is memory alone: 512M:
    """
    try:
        machine = _machine(memory, cpus, nodes, distances)
    except SpecError as error:
        raise click.UsageError(str(error)) from None
    if name is not None and not re.fullmatch(r"[\w.-]+", name):
        raise click.UsageError(f"--name {name}: accepted: letters, digits, points and dashes")
    extent = steps.Extent(loads=not quick, write_table=not (quick or no_write_table))
    try:
        CACHE.mkdir(parents=True, exist_ok=True)
        found = linux.find(kernel, CACHE)
        kvm = _uses_kvm(found, accel)
        target = output / f"{name or 'machine-' + found.release}.tar.xz"
        memory = machine.mebibytes
        low = found.low_mebibytes(memory)
        numbers = steps.quantities(memory, low, machine.last_node, found.huge_kbytes)
        record(found, machine, steps.compiled(steps_file, numbers, extent), target, kvm=kvm, minutes=timeout)
    except Fault as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"{error.filename}: {error.strerror}") from None


def _uses_kvm(kernel: linux.Linux, accel: str) -> bool:
    works = accel != "tcg" and qemu.kvm_works(kernel)
    if accel == "kvm" and not works:
        raise Fault("--accel kvm: QEMU cannot use it here (/dev/kvm); accepted: auto, tcg")
    return works


def record(
    kernel: linux.Linux, machine: Hardware, program: str, target: Path, *, kvm: bool, minutes: float
) -> None:
    """Boots the kernel, and writes the recording when the machine has ended itself."""
    target.parent.mkdir(parents=True, exist_ok=True)
    print(f"{kernel.version}: {qemu.description(machine, kvm=kvm).splitlines()[0]}", flush=True)
    with TemporaryDirectory(dir=CACHE) as folder:
        files = qemu.Files(Path(folder), disks.files_disk(CACHE))
        disks.swap_disk(files.swap_disk)
        files.initramfs.write_bytes(initramfs.build(kernel, program, CACHE))
        qemu.run(qemu.command(kernel, machine, files, kvm=kvm), files, minutes, _progress)
        sent = stream.parse(files.stream.read_bytes())
        try:
            stream.check(sent, steps.names(program))
        except Fault as fault:
            raise Fault(f"{fault}: {files.last_words}") from None
    stream.write(sent, qemu.description(machine, kvm=kvm), target)
    print(target)


def _progress(step: str) -> None:
    print(f"  {step}", flush=True)


def _machine(
    memory: str | None, cpus: int | None, nodes: tuple[str, ...], distances: tuple[str, ...]
) -> Hardware:
    if not nodes:
        if distances:
            raise SpecError("--distance: needs --node")
        return hardware.flat(memory or "1G", 2 if cpus is None else cpus)
    if memory or cpus is not None:
        raise SpecError("--memory, --cpus: follow from --node; accepted: one or the other")
    return hardware.numa(nodes, distances)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the machine ends too
    sys.exit(main(prog_name="record"))
