"""The command line: reads arguments, calls, prints. Exit 0, 1 when a thing failed, 2 for wrong usage.

What a command needs is imported when it runs.
"""

from __future__ import annotations

import logging
import os
import posixpath
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from vmfs.cli.options import (
    Choice,
    Failure,
    Rule,
    log_option,
    log_path,
    log_to,
    machine_options,
    rule_options,
    say,
    tree_of,
)
from vmfs.cli.run import doctor, enter, run
from vmfs.cli.scenario import scenario
from vmfs.cli.tlb import tlb

if TYPE_CHECKING:
    from vmfs.tree import Tree

log = logging.getLogger(__name__)


def main() -> NoReturn:
    """The entry point: every fault becomes one line."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `vmfs show … | head` ends as cat would
    command = next((word for word in sys.argv[1:] if word in vmfs.commands), None)
    try:
        sys.exit(vmfs.main(prog_name="vmfs", standalone_mode=False))
    except click.UsageError as fault:
        path = fault.ctx.command_path if fault.ctx else "vmfs"
        say(command, f"{fault.format_message().rstrip('.')} (see {path} --help)")
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(128 + signal.SIGINT)
    except Exception as fault:
        if "--debug" in sys.argv:
            log.exception("the command failed")
        say(command, _reason(fault))
        sys.exit(1)


def _reason(fault: Exception) -> str:
    if isinstance(fault, OSError) and fault.strerror:
        return f"{fault.filename}: {fault.strerror}" if fault.filename else fault.strerror
    from vmfs.adapters.mountinfo import MountError

    if isinstance(fault, (Failure, MountError, ValueError)) or type(fault).__module__.startswith("vmfs."):
        return str(fault)
    return f"a fault of vmfs itself, {type(fault).__name__}: {fault} (vmfs --debug … tells where)"


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=False)
@click.version_option(package_name="vmfs")
@click.option("--debug", is_flag=True, help="Tracebacks, to standard error or the log.")
def vmfs(debug: bool) -> None:
    """A Linux memory machine in a directory."""
    logging.basicConfig(level=logging.DEBUG if debug else logging.WARNING)


@vmfs.command()
@machine_options
@rule_options
@click.option("--subtree", default="/", metavar="PATH", help="Mount this directory of the tree alone.")
@click.option("--foreground", is_flag=True, help="Serve in this process until the mount ends.")
@click.option("--allow-other", is_flag=True, help="Let other users in; root's mounts always do.")
@log_option
@click.argument("mountpoint")
def mount(
    choice: Choice,
    rules: list[Rule],
    subtree: str,
    foreground: bool,
    allow_other: bool,
    log_file: str | None,
    mountpoint: str,
) -> None:
    """Mount a machine on MOUNTPOINT, an empty directory; return once it answers."""
    from vmfs.adapters import mount as daemon

    path = daemon.prepare(mountpoint)  # what stands in the way is said before a machine is built
    tree = tree_of(choice, rules)
    shown = _subtree(tree, subtree)
    file = log_path(log_file)
    if foreground:
        log_to(file, sys.stderr)
        daemon.serve(tree, path, lambda: None, shown, allow_other)
    else:
        daemon.mount(tree, path, subtree=shown, allow_other=allow_other, on_start=lambda: log_to(file))


def _subtree(tree: Tree, path: str) -> str:
    try:
        return tree.directory(posixpath.normpath(f"/{path.lstrip('/')}")).path
    except OSError as fault:
        raise Failure(f"--subtree {path}: {fault.strerror}") from None


@vmfs.command()
@click.argument("mountpoint")
def umount(mountpoint: str) -> None:
    """End the daemon of MOUNTPOINT; clear the mount of one that died."""
    from vmfs.adapters.unmount import unmount

    unmount(mountpoint)


@vmfs.command()
@machine_options
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
def show(choice: Choice, paths: tuple[str, ...]) -> None:
    """Print files of a machine without a mount; list directories."""
    tree = tree_of(choice)
    failed = False
    for path in paths:
        try:
            sys.stdout.buffer.write(_shown(tree, path))
        except OSError as fault:
            failed = True
            say("show", f"{path}: {fault.strerror}")
    sys.stdout.flush()
    if failed:
        sys.exit(1)


def _shown(tree: Tree, path: str) -> bytes:
    from vmfs.tree import Directory

    real = tree.resolve(path)
    if isinstance(tree.entry(real), Directory):
        return "".join(f"{name}\n" for name in tree.listdir(real)).encode()
    tree.open(real, os.O_RDONLY)
    return tree.read_bytes(real)


@vmfs.command()
@click.argument("name", required=False)
def machines(name: str | None) -> None:
    """List the built-in machines, or print the TOML of the one called NAME."""
    from vmfs import spec

    if name is not None:
        click.echo(spec.text(name), nl=False)
        return
    for known in spec.builtin():
        click.echo(f"{known:<10} {spec.load(known).description}")


@vmfs.command()
@click.option(
    "--at", "mountpoint", envvar="VMFS_ROOT", metavar="MOUNTPOINT", help="The mount [default: $VMFS_ROOT]."
)
@click.argument("lines", nargs=-1, required=True, metavar="LINE...")
def ctl(mountpoint: str | None, lines: tuple[str, ...]) -> None:
    """Send control lines, one argument a line, to a mount; print what they answer."""
    if mountpoint is None:
        raise click.UsageError("say which mount: --at MOUNTPOINT, or VMFS_ROOT in the environment")
    file = Path(mountpoint) / "vmfs/ctl"
    if not file.exists():
        raise Failure(f"{mountpoint} is no mount of vmfs, or of a part of the tree")
    for line in lines:
        try:
            _write_once(file, f"{line}\n")
        except PermissionError:
            raise
        except OSError:
            raise Failure(file.read_text().rstrip("\n")) from None
        click.echo(file.read_text(), nl=False)


def _write_once(file: Path, line: str) -> None:
    """Not Path.write_text(): a refused line stays in its buffer, and close() sends it again."""
    descriptor = os.open(file, os.O_WRONLY)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


@vmfs.command()
@click.argument("target")
def capture(target: str) -> None:
    """Copy what --from needs from this host into TARGET, a directory or by its ending an archive."""
    from vmfs.capture import save

    for skipped in save(target):
        say("warning", skipped)


@vmfs.command()
@machine_options
@click.argument("directory")
def export(choice: Choice, directory: str) -> None:
    """Write the tree as plain files, modes included, into DIRECTORY."""
    from vmfs.adapters import export as plain

    plain.export(tree_of(choice), directory)


for command in (run, enter, doctor):
    vmfs.add_command(command)
vmfs.add_command(scenario)
vmfs.add_command(tlb)
