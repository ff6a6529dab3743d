"""`vmfs tlb`: what address translation costs the tasks of a machine."""

from __future__ import annotations

import json
from pathlib import Path

import click

from vmfs.cli.options import Choice, Failure, machine_options, tree_of

FILE = "vmfs/tlb"


@click.command()
@machine_options
@click.option(
    "--at", "mountpoint", envvar="VMFS_ROOT", metavar="MOUNTPOINT", help="The mount [default: $VMFS_ROOT]."
)
@click.option("--memory", default="256G", show_default=True, metavar="SIZE", help="For the sums at the end.")
def tlb(choice: Choice, mountpoint: str | None, memory: str) -> None:
    """Tell what address translation costs each task: pages, page tables, TLB reach, misses, cycles.

    Of a mount, or without one of a described or captured machine.
    """
    from vmfs.spec.sizes import SpecError, parse_size
    from vmfs.views.tlb import table

    try:
        memory_bytes = parse_size(memory)
    except SpecError as fault:
        raise click.BadParameter(str(fault), param_hint="'--memory'") from None
    if mountpoint and (choice.machine or choice.capture):
        raise click.UsageError("a mount has its machine: give --at, or --machine or --from")
    text = _mounted(mountpoint) if mountpoint else tree_of(choice).read(f"/{FILE}")
    click.echo(table(json.loads(text), memory_bytes), nl=False)


def _mounted(mountpoint: str) -> str:
    file = Path(mountpoint) / FILE
    if not file.exists():
        raise Failure(f"{mountpoint} is no mount of vmfs, or of a part of the tree")
    return file.read_text()
