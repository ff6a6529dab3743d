"""The virtual machine: QEMU's command line, and a machine on its way through the steps."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scripts.recording import packages
from scripts.recording.faults import Fault
from scripts.recording.hardware import Hardware
from scripts.recording.linux import Linux

COMMAND_LINE = "console=ttyS0 panic=-1 nokaslr quiet mitigations=off"


@dataclass(frozen=True, slots=True)
class Files:
    """What QEMU is given, and what it leaves in `folder`: the console's text, the stream of the port."""

    folder: Path
    files_disk: Path

    @property
    def initramfs(self) -> Path:
        return self.folder / "initramfs"

    @property
    def swap_disk(self) -> Path:
        return self.folder / "swap"

    @property
    def console(self) -> Path:
        return self.folder / "console"

    @property
    def stream(self) -> Path:
        return self.folder / "stream"

    @property
    def lines(self) -> list[str]:
        """What the console said."""
        text = self.console.read_text(errors="replace") if self.console.exists() else ""
        return [line.strip() for line in text.splitlines() if line.strip()]

    @property
    def last_words(self) -> str:
        """The console's line that says why, or its last."""
        ours = [line for line in self.lines if line.startswith("record: ")]
        panics = [line for line in self.lines if "Kernel panic" in line]
        return (ours or panics or self.lines or ["the machine said nothing"])[-1].removeprefix("record: ")


def kvm_works(kernel: Linux) -> bool:
    """Asks QEMU itself: /dev/kvm may be there and yet not serve this processor."""
    trial = [*_bare(kernel, kvm=True), "-S", "-monitor", "stdio"]
    return subprocess.run(trial, input="quit\n", capture_output=True, text=True).returncode == 0


def _bare(kernel: Linux, *, kvm: bool) -> list[str]:
    name = "qemu-system-x86_64" if kernel.is_64_bit else "qemu-system-i386"
    packages.need(name)
    accelerator = ("-accel", "kvm" if kvm else "tcg", "-cpu", "max")
    return [name, "-nodefaults", "-display", "none", "-machine", "pc", *accelerator]


def command(kernel: Linux, hardware: Hardware, files: Files, *, kvm: bool) -> list[str]:
    """Nothing is plugged in but the disks and the port, so that iomem stays short."""
    return [
        *(*_bare(kernel, kvm=kvm), "-no-reboot", *hardware.qemu()),
        *("-kernel", str(kernel.image), "-initrd", str(files.initramfs), "-append", COMMAND_LINE),
        *("-serial", f"file:{files.console}"),
        *("-drive", f"file={files.files_disk},format=raw,if=virtio,readonly=on"),
        *("-drive", f"file={files.swap_disk},format=raw,if=virtio,cache=unsafe"),
        *("-device", "virtio-serial-pci", "-chardev", f"file,id=out,path={files.stream}"),
        *("-device", "virtserialport,chardev=out,name=recording"),
    ]


def description(hardware: Hardware, *, kvm: bool) -> str:
    """meta/machine.txt."""
    way = "KVM" if kvm else "software emulation"
    return f"QEMU pc (i440FX), {way}, {hardware}\nkernel command line: {COMMAND_LINE}\n"


def run(command: list[str], files: Files, minutes: float, progress: Callable[[str], None]) -> None:
    """Until the machine ends itself; `progress` is told each step it begins."""
    deadline = time.monotonic() + minutes * 60
    told = 0
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as machine:
        try:
            while machine.poll() is None:
                if time.monotonic() > deadline:
                    raise Fault(f"not done after {minutes:g} minutes (--timeout): {files.last_words}")
                time.sleep(0.5)
                steps = [line for line in files.lines if line.startswith("step ")]
                for step in steps[told:]:
                    progress(step.removeprefix("step "))
                told = len(steps)
        finally:
            machine.kill()
        if code := machine.wait():
            how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            said = machine.stderr.read().strip().splitlines()
            raise Fault(said[-1] if said else f"{command[0]} ended with {how}: {files.last_words}")
