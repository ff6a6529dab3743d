"""The command line: reads arguments, calls, prints. Exit 0, 1 when a thing failed, 2 for wrong usage.

What a command needs is imported when it runs.
"""

from __future__ import annotations

import functools
import logging
import os
import posixpath
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TextIO

import click

from vmfs.kernel import RELEASES

if TYPE_CHECKING:
    from vmfs.adapters.clock import Elapsed
    from vmfs.tree import Tree

KERNELS = [".".join(map(str, release)) for release in RELEASES]
DEFAULT_MACHINE = "article"
SYSLOG = "/dev/log"

log = logging.getLogger(__name__)


class Failure(Exception):
    """What a command was asked for and why it failed, for the one line."""


def main() -> NoReturn:
    """The entry point: every fault becomes one line."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `vmfs show … | head` ends as cat would
    command = next((word for word in sys.argv[1:] if word in vmfs.commands), None)
    try:
        sys.exit(vmfs.main(prog_name="vmfs", standalone_mode=False))
    except click.UsageError as fault:
        path = fault.ctx.command_path if fault.ctx else "vmfs"
        _say(command, f"{fault.format_message().rstrip('.')} (see {path} --help)")
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(128 + signal.SIGINT)
    except Exception as fault:
        if "--debug" in sys.argv:
            log.exception("the command failed")
        _say(command, _reason(fault))
        sys.exit(1)


def _reason(fault: Exception) -> str:
    if isinstance(fault, OSError) and fault.strerror:
        return f"{fault.filename}: {fault.strerror}" if fault.filename else fault.strerror
    from vmfs.adapters.mountinfo import MountError

    if isinstance(fault, (Failure, MountError, ValueError)) or type(fault).__module__.startswith("vmfs."):
        return str(fault)
    return f"a fault of vmfs itself, {type(fault).__name__}: {fault} (vmfs --debug … tells where)"


def _say(what: str | None, why: str) -> None:
    words = ("vmfs", *([what] if what else []), why)
    click.echo(": ".join(words).replace("\n", " "), err=True)


class Choice(NamedTuple):
    """The options that say which machine: of mount, show and export."""

    machine: str | None
    capture: str | None
    kernel: str | None
    seed: int | None
    clock: str


def machine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options; the command gets them as its first argument."""

    @functools.wraps(command)
    def with_choice(**given: Any) -> Any:
        choice = Choice(**{name: given.pop(name) for name in Choice._fields})
        if choice.machine and choice.capture:
            raise click.UsageError("--machine and --from exclude each other")
        return command(choice, **given)

    options = (
        click.option(
            "--machine", metavar="NAME|FILE", help="A built-in machine or a TOML file [default: article]."
        ),
        click.option(
            "--from", "capture", metavar="CAPTURE", help="A captured machine: a directory or tar archive."
        ),
        click.option(
            "--kernel", type=click.Choice(KERNELS), help="The release [default: the machine's, or 6.12]."
        ),
        click.option(
            "--seed", type=click.IntRange(0), help="Of all that is chance [default: the machine's, or 0]."
        ),
        click.option(
            "--clock", default="real", show_default=True, metavar="real|Nx|manual", help="How time passes."
        ),
    )
    return functools.reduce(lambda done, option: option(done), reversed(options), with_choice)


class Rule(NamedTuple):
    """A policy or fault, as Tree.add_rule() takes it."""

    kind: str
    pattern: str
    value: str = ""


def rule_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that make files fail; the command gets `rules`."""

    @functools.wraps(command)
    def with_rules(*given: Any, **named: Any) -> Any:
        kinds = ("policy", "fail", "truncate", "garble", "hide")
        rules = [_rule(kind, text) for kind in kinds for text in named.pop(kind)]
        return command(*given, rules=rules, **named)

    options = (
        click.option(
            "--policy",
            multiple=True,
            metavar="[PATH=]NAME",
            help="Refuse as bare-metal, container-ro or unprivileged does.",
        ),
        click.option("--fail", multiple=True, metavar="PATH=ERRNO", help="Fail opens or reads and writes."),
        click.option("--truncate", multiple=True, metavar="PATH", help="End the text early."),
        click.option("--garble", multiple=True, metavar="PATH", help="Give rubbish of the same length."),
        click.option("--hide", multiple=True, metavar="PATH", help="Take away what a kernel may lack."),
    )
    return functools.reduce(lambda done, option: option(done), reversed(options), with_rules)


def _rule(kind: str, text: str) -> Rule:
    path, _, value = text.rpartition("=") if kind in ("policy", "fail") else (text, "", "")
    return Rule(kind, path or "/" if kind == "policy" else path, value)


def _tree(choice: Choice, rules: Sequence[Rule] = ()) -> Tree:
    from vmfs.tree.rules import Rules

    for rule in rules:  # what is wrong is said before a machine is built
        try:
            Rules().add(*rule)
        except ValueError as fault:
            raise click.BadParameter(str(fault), param_hint=f"'--{rule.kind}'") from None
    tree = _chosen(choice)
    for rule in rules:
        tree.add_rule(*rule)
    return tree


def _chosen(choice: Choice) -> Tree:
    from vmfs.adapters import clock

    try:
        elapsed = clock.parse(choice.clock)
    except ValueError as fault:
        raise click.BadParameter(str(fault), param_hint="'--clock'") from None
    return _captured(choice, elapsed) if choice.capture else _described(choice, elapsed)


def _described(choice: Choice, elapsed: Elapsed | None) -> Tree:
    from vmfs import spec
    from vmfs.tree.boot import booted

    return booted(spec.load(choice.machine or DEFAULT_MACHINE, choice.kernel, choice.seed), elapsed)


def _captured(choice: Choice, elapsed: Elapsed | None) -> Tree:
    from vmfs import capture
    from vmfs.tree import Tree

    machine, warnings = capture.load(choice.capture or "", choice.kernel, choice.seed or 0)
    for warning in warnings:
        _say("warning", warning)
    return Tree(machine, elapsed)


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
@click.option(
    "--log", "log_file", type=click.Path(dir_okay=False), help="Where the daemon logs [default: syslog]."
)
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
    tree = _tree(choice, rules)
    shown = _subtree(tree, subtree)
    log_path = _log_path(log_file)
    if foreground:
        _log_to(log_path, sys.stderr)
        daemon.serve(tree, path, lambda: None, shown, allow_other)
    else:
        daemon.mount(tree, path, subtree=shown, allow_other=allow_other, on_start=lambda: _log_to(log_path))


def _subtree(tree: Tree, path: str) -> str:
    try:
        return tree.directory(posixpath.normpath(f"/{path.lstrip('/')}")).path
    except OSError as fault:
        raise Failure(f"--subtree {path}: {fault.strerror}") from None


def _log_path(file: str | None) -> Path | None:
    """For a daemon that leaves the working directory; a log that cannot be written is said now."""
    if file is None:
        return None
    path = Path(file).absolute()
    path.open("a").close()
    return path


def _log_to(file: Path | None, otherwise: TextIO | None = None) -> None:
    """The daemon's log: a file, a stream, else syslog where there is one."""
    handler: logging.Handler = logging.NullHandler()
    if file:
        handler = logging.FileHandler(file)
    elif otherwise:
        handler = logging.StreamHandler(otherwise)
    elif Path(SYSLOG).exists():
        from logging.handlers import SysLogHandler

        handler = SysLogHandler(SYSLOG)
    handler.setFormatter(logging.Formatter("%(asctime)s vmfs[%(process)d]: %(message)s"))
    logging.basicConfig(handlers=[handler], force=True, level=logging.getLogger().level)


@vmfs.command()
@click.argument("mountpoint")
def umount(mountpoint: str) -> None:
    """End the daemon of MOUNTPOINT; clear the mount of one that died."""
    from vmfs.adapters.unmount import unmount

    unmount(mountpoint)


@vmfs.command(context_settings={"allow_interspersed_args": False})
@machine_options
@rule_options
@click.option("--only", multiple=True, metavar="PATH", help="Lay over just these files and directories.")
@click.option("--user", "as_caller", is_flag=True, help="Run COMMAND as yourself, not as uid 0.")
@click.option(
    "--log", "log_file", type=click.Path(dir_okay=False), help="Where the daemon logs [default: syslog]."
)
@click.argument("command", nargs=-1, metavar="[COMMAND [ARG]...]")
def run(
    choice: Choice,
    rules: list[Rule],
    only: tuple[str, ...],
    as_caller: bool,
    log_file: str | None,
    command: tuple[str, ...],
) -> None:
    """Run COMMAND, by default $SHELL, with the machine in place of the host's; needs no root."""
    from vmfs import namespace
    from vmfs.adapters import mount as daemon

    log_path = _log_path(log_file)
    if as_caller and not any(rule.kind == "policy" for rule in rules):
        rules = [Rule("policy", "/", "unprivileged"), *rules]

    def start(mountpoint: str, on_start: Callable[[], None]) -> int:
        def begin() -> None:
            on_start()
            _log_to(log_path)

        return daemon.mount(_tree(choice, rules), mountpoint, on_start=begin)

    shell = (os.environ.get("SHELL", "/bin/sh"),)
    sys.exit(
        namespace.run(
            command or shell,
            start,
            only=only,
            hide=[rule.pattern for rule in rules if rule.kind == "hide"],
            as_caller=as_caller,
            warn=lambda why: _say("warning", why),
        )
    )


@vmfs.command()
@machine_options
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
def show(choice: Choice, paths: tuple[str, ...]) -> None:
    """Print files of a machine without a mount; list directories."""
    tree = _tree(choice)
    failed = False
    for path in paths:
        try:
            sys.stdout.buffer.write(_shown(tree, path))
        except OSError as fault:
            failed = True
            _say("show", f"{path}: {fault.strerror}")
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
            file.write_text(f"{line}\n")
        except PermissionError:
            raise
        except OSError:
            raise Failure(file.read_text().rstrip("\n")) from None
        click.echo(file.read_text(), nl=False)


@vmfs.command()
@click.argument("target")
def capture(target: str) -> None:
    """Copy what --from needs from this host into TARGET, a directory or by its ending an archive."""
    from vmfs.capture import save

    for skipped in save(target):
        _say("warning", skipped)


@vmfs.command()
@machine_options
@click.argument("directory")
def export(choice: Choice, directory: str) -> None:
    """Write the tree as plain files, modes included, into DIRECTORY."""
    from vmfs.adapters import export as plain

    plain.export(_tree(choice), directory)
