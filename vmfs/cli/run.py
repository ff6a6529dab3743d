"""`vmfs run`: a command on a machine of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import click

from vmfs.cli.options import (
    Choice,
    Rule,
    log_option,
    log_path,
    log_to,
    machine_options,
    rule_options,
    say,
    tree_of,
)


@click.command(context_settings={"allow_interspersed_args": False})
@machine_options
@rule_options
@click.option("--only", multiple=True, metavar="PATH", help="Lay over just these files and directories.")
@click.option("--user", "as_caller", is_flag=True, help="Run COMMAND as yourself, not as uid 0.")
@log_option
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

    file = log_path(log_file)
    if as_caller and not any(rule.kind == "policy" for rule in rules):
        rules = [Rule("policy", "/", "unprivileged"), *rules]

    def start(mountpoint: str, on_start: Callable[[], None]) -> int:
        def begin() -> None:
            on_start()
            log_to(file)

        return daemon.mount(tree_of(choice, rules), mountpoint, on_start=begin)

    shell = (os.environ.get("SHELL", "/bin/sh"),)
    sys.exit(
        namespace.run(
            command or shell,
            start,
            only=only,
            hide=[rule.pattern for rule in rules if rule.kind == "hide"],
            as_caller=as_caller,
            warn=lambda why: say("warning", why),
        )
    )
