"""The options that commands share, and what they are made into."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

import click

from vmfs.kernel import RELEASES

if TYPE_CHECKING:
    from vmfs.adapters.clock import Elapsed
    from vmfs.tree import Tree

KERNELS = [".".join(map(str, release)) for release in RELEASES]
DEFAULT_MACHINE = "article"
SYSLOG = "/dev/log"


class Failure(Exception):
    """What a command was asked for and why it failed, for the one line."""


def say(what: str | None, why: str) -> None:
    words = ("vmfs", *([what] if what else []), why)
    click.echo(": ".join(words).replace("\n", " "), err=True)


class Choice(NamedTuple):
    """The options that say which machine: of mount, show and export."""

    machine: str | None
    capture: str | None
    kernel: str | None
    seed: int | None
    clock: str
    scenario: str | None = None


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
        click.option("--scenario", metavar="NAME|FILE", help="What happens to the machine as time passes."),
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
    path, equals, value = text.rpartition("=") if kind in ("policy", "fail") else (text, "", "")
    if kind == "fail" and not equals:
        raise click.BadParameter(f"{text!r} is not PATH=ERRNO", param_hint="'--fail'")
    return Rule(kind, path or "/" if kind == "policy" else path, value)


def tree_of(choice: Choice, rules: Sequence[Rule] = ()) -> Tree:
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
    if choice.scenario is not None:
        return _living(choice, choice.scenario, elapsed)
    return _captured(choice, elapsed) if choice.capture else _described(choice, elapsed)


def _living(choice: Choice, name: str, elapsed: Elapsed | None) -> Tree:
    """A machine with a scenario; the options of the command line go before what the scenario says."""
    from vmfs import scenario

    found = scenario.load(name)
    seed = found.seed if choice.seed is None else choice.seed
    machine = choice.machine or (None if choice.capture else found.machine)
    whole = Choice(machine, choice.capture, choice.kernel or found.kernel, seed, choice.clock)
    tree = _captured(whole, elapsed) if choice.capture else _described(whole, elapsed)
    scenario.attach(tree, found)
    return tree


def _described(choice: Choice, elapsed: Elapsed | None) -> Tree:
    from vmfs import spec
    from vmfs.tree.boot import booted

    return booted(spec.load(choice.machine or DEFAULT_MACHINE, choice.kernel, choice.seed), elapsed)


def _captured(choice: Choice, elapsed: Elapsed | None) -> Tree:
    from vmfs import capture
    from vmfs.tree import Tree

    machine, warnings = capture.load(choice.capture or "", choice.kernel, choice.seed or 0)
    for warning in warnings:
        say("warning", warning)
    return Tree(machine, elapsed)


log_option = click.option(
    "--log", "log_file", type=click.Path(dir_okay=False), help="Where the daemon logs [default: syslog]."
)


def log_path(file: str | None) -> Path | None:
    """For a daemon that leaves the working directory; a log that cannot be written is said now."""
    if file is None:
        return None
    path = Path(file).absolute()
    path.open("a").close()
    return path


def log_to(file: Path | None, otherwise: TextIO | None = None) -> None:
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
