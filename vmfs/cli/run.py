"""`vmfs run`: a command on a machine of its own."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn

import click
from click.core import ParameterSource

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

WITH_JOIN = ("join", "as_caller", "seccomp", "command")


def join_options(command: Callable[..., None]) -> Callable[..., None]:
    """What both who starts a machine and who joins one may say."""
    user = click.option("--user", "as_caller", is_flag=True, help="Run COMMAND as yourself, not as uid 0.")
    seccomp = click.option(
        "--seccomp/--no-seccomp", default=True, help="Answer sysinfo(2) and its like for the machine."
    )
    return user(seccomp(command))


@click.command(context_settings={"allow_interspersed_args": False})
@machine_options
@rule_options
@click.option("--only", multiple=True, metavar="PATH", help="Lay over just these files and directories.")
@click.option("--tasks", is_flag=True, help="Show the tasks of the machine as processes.")
@click.option("--join", type=int, metavar="PID", help="On the machine of a run that goes on.")
@join_options
@log_option
@click.argument("command", nargs=-1, metavar="[COMMAND [ARG]...]")
def run(
    choice: Choice,
    rules: list[Rule],
    only: tuple[str, ...],
    tasks: bool,
    join: int | None,
    as_caller: bool,
    seccomp: bool,
    log_file: str | None,
    command: tuple[str, ...],
) -> None:
    """Run COMMAND, by default $SHELL, with the machine in place of the host's; needs no root."""
    if join is not None:
        _check_joined_alone()
        sys.exit(namespace_enter(join, command, as_caller, seccomp))
    from vmfs import namespace
    from vmfs.adapters.mountinfo import MountError
    from vmfs.namespace.doctor import one_line

    file, rules = log_path(log_file), _rules_for(rules, as_caller)
    try:
        status = namespace.run(
            command or default_command(),
            _starter(choice, rules, file),
            only=only,
            hide=tuple(rule.pattern for rule in rules if rule.kind == "hide"),
            as_caller=as_caller,
            answer_calls=seccomp,
            show_tasks=tasks,
            log_to=lambda: log_to(file),
            warn=lambda why: say("warning", why),
        )
    except namespace.WrongPath as fault:
        raise click.BadParameter(str(fault), param_hint=f"'{fault.option}'") from None
    except MountError as fault:
        raise Failure(one_line((str(fault), ""))) from None
    _leave(status)


def _rules_for(rules: list[Rule], as_caller: bool) -> list[Rule]:
    """An ordinary user stays one, unless a rule says otherwise."""
    if as_caller and os.geteuid() and not any(rule.kind == "policy" for rule in rules):
        return [Rule("policy", "/", "unprivileged"), *rules]
    return rules


def _starter(choice: Choice, rules: list[Rule], file: Path | None) -> Callable[..., int]:
    """What mounts the machine where it is told to: the pid of the daemon."""

    def start(
        mountpoint: str, on_start: Callable[[], None], on_tasks: Callable[[Iterable[int]], None] | None
    ) -> int:
        from vmfs.adapters import mount as daemon

        def begin() -> None:
            on_start()
            log_to(file)

        daemon.prepare(mountpoint)  # what stands in the way is said before a machine is built
        from vmfs.adapters.run import RunAdapter

        adapter = functools.partial(RunAdapter, on_tasks=on_tasks)
        return daemon.mount(tree_of(choice, rules), mountpoint, on_start=begin, adapter=adapter)

    return start


@click.command(context_settings={"allow_interspersed_args": False})
@join_options
@click.option("--pid", type=int, help="The run, or any process in it [default: the only one].")
@click.argument("command", nargs=-1, metavar="[COMMAND [ARG]...]")
def enter(as_caller: bool, seccomp: bool, pid: int | None, command: tuple[str, ...]) -> None:
    """Run COMMAND, by default $SHELL, on the machine of a `vmfs run` that goes on."""
    sys.exit(namespace_enter(pid, command, as_caller, seccomp))


@click.command()
def doctor() -> None:
    """Say what `vmfs run` needs, what is found here and what to do. Exit 1 when it cannot work."""
    from vmfs.namespace.doctor import FALLBACK, checks

    found = checks()
    rows = [("requirement", "", "found", "fix")]
    rows += [(c.requirement, "ok" if c.fine else "NO" if c.needed else "--", c.found, c.fix) for c in found]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for *columns, fix in rows:
        cells = (cell.ljust(width) for cell, width in zip(columns, widths, strict=True))
        click.echo("  ".join((*cells, fix)).rstrip())
    if not all(check.fine for check in found if check.needed):
        click.echo(f"vmfs run cannot work here. What can: {FALLBACK}.")
        sys.exit(1)


def namespace_enter(pid: int | None, command: tuple[str, ...], as_caller: bool, seccomp: bool) -> int:
    from vmfs import namespace

    return namespace.enter(
        pid,
        command or default_command(),
        as_caller=as_caller,
        answer_calls=seccomp,
        warn=lambda why: say("warning", why),
    )


def _check_joined_alone() -> None:
    """What says how a machine is started has no meaning for one that is there."""
    context = click.get_current_context()
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
        if given and parameter.name not in WITH_JOIN:
            raise click.UsageError(f"{parameter.opts[0]} and --join exclude each other")


def _leave(status: int) -> NoReturn:
    """At once: to take the machine of a daemon that is gone apart costs a tenth of the start-up."""
    for stream in filter(None, (sys.stdout, sys.stderr)):  # None: it was closed from the start
        stream.flush()
    os._exit(status)


def default_command() -> tuple[str, ...]:
    return (os.environ.get("SHELL") or "/bin/sh",)
