"""`vmfs scenario`: lives of machines, written down."""

from __future__ import annotations

import logging
import math
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vmfs.cli.options import Choice, Failure, machine_options, say, tree_of

if TYPE_CHECKING:
    from vmfs.scenario import Timetable
    from vmfs.scenario.model import Action
    from vmfs.scenario.record import Samples
    from vmfs.tree import Tree

PROGRESS_STEPS = 200


class Seconds(click.FloatRange):
    """A range is no bound for "nan"."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        seconds: float = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail(f"{value!r} is no number of seconds.", param, ctx)
        return seconds


@click.group()
def scenario() -> None:
    """What happens to a machine over time: run it, list the ready ones, show one."""


@scenario.command("list")
def list_() -> None:
    """List the ready scenarios, one a line, name first."""
    from vmfs import scenario as scenarios

    for name in scenarios.builtin():
        click.echo(f"{name:<22} {scenarios.load(name).description}")


@scenario.command()
@click.argument("name")
def show(name: str) -> None:
    """Print the YAML of the ready scenario NAME."""
    from vmfs import scenario as scenarios

    click.echo(scenarios.text(name), nl=False)


@scenario.command()
@click.argument("file", metavar="NAME|FILE")
@machine_options
@click.option(
    "--record", type=click.Path(dir_okay=False), metavar="FILE", help="Samples, as .csv or .parquet."
)
@click.option(
    "--field", "fields", multiple=True, metavar="FIELD", help="What to sample [default: the scenario's]."
)
@click.option("--interval", type=Seconds(min=0.01, max=1e9), metavar="SECONDS", help="How often to sample.")
@click.option(
    "--for", "seconds", type=Seconds(min=0, max=1e9), metavar="SECONDS", help="End earlier or later."
)
@click.option("--save", type=click.Path(dir_okay=False), metavar="FILE", help="Save the machine at the end.")
def run(
    choice: Choice,
    file: str,
    record: str | None,
    fields: tuple[str, ...],
    interval: float | None,
    seconds: float | None,
    save: str | None,
) -> None:
    """Live through a scenario as fast as can be; exit 1 when something was not as expected."""
    from vmfs.scenario import load
    from vmfs.scenario.record import DEFAULT_FIELDS, Samples, check

    found = load(file)
    if record:
        check(Path(record))
    logging.getLogger("vmfs.scenario").setLevel(logging.CRITICAL)  # the report says it
    tree = tree_of(choice._replace(scenario=file, clock="manual"))
    timetable: Any = tree.machine.timetable
    samples = Samples.of(fields or found.record.fields or DEFAULT_FIELDS) if record else None
    duration = found.duration / 1_000_000 if seconds is None else seconds
    try:
        _live(tree, timetable, duration, interval or found.record.every / 1_000_000, samples)
    except LookupError as fault:
        raise Failure(str(fault.args[0])) from None
    if record and samples:
        samples.write(Path(record))
    if save:
        Path(save).write_bytes(tree.machine.save())
    _report(tree, timetable, timetable.missed if seconds is None else [])


def _live(
    tree: Tree, timetable: Timetable, duration: float, interval: float, samples: Samples | None
) -> None:
    """In pieces, for the samples and the bar; the pieces do not change what happens."""
    if samples:
        samples.take(timetable, tree)
    piece = interval if samples else max(duration / PROGRESS_STEPS, 1.0)
    done = 0.0
    with _bar(duration) as bar:
        count = 1
        while done < duration and not timetable.ended:
            following = min(count * piece, duration)
            tree.tick(following - done)
            if bar is not None:
                bar.update(int(following) - int(done))
            done, count = following, count + 1
            if samples:
                samples.take(timetable, tree)


def _bar(duration: float) -> AbstractContextManager[Any]:
    """A bar on a terminal, else nothing."""
    if not sys.stderr.isatty() or not duration:
        return nullcontext()
    return click.progressbar(length=int(duration), label="simulated", file=sys.stderr, show_pos=True)


def _report(tree: Tree, timetable: Timetable, missed: list[Action]) -> None:
    """What was expected and not so, or never came, one line each, and the sum."""
    wrong = [outcome for outcome in timetable.outcomes if not outcome.held]
    for outcome in wrong:
        place = f"{timetable.scenario.file}:{outcome.line}: after {outcome.microsecs / 1_000_000:g} s"
        say("scenario", f"{place}: {outcome.what}: {outcome.seen}")
    for check in missed:
        say("scenario", f"{timetable.scenario.file}:{check.line}: expect {check.text}: never came")
    held = len(timetable.outcomes) - len(wrong)
    passed = (tree.machine.clock.microsecs - timetable.start) / 1_000_000
    sum_up = f"{held} of {held + len(wrong) + len(missed)} as expected"
    click.echo(f"{timetable.scenario.name}: {passed:g} s on {tree.machine.name}, {sum_up}")
    if wrong or missed:
        sys.exit(1)
