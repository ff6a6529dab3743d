"""The end of a machine (kernel/panic.c).

A panicked machine stands still: its time does not pass, nothing changes it any more, and its files
tell the state it stopped in, as a crash dump does. kernel.panic says after how many seconds it
would boot again; it is a new machine that boots, so that is left to whoever runs this one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmfs.mm import dump_stack
from vmfs.mm.alloc_request import OutOfMemory
from vmfs.mm.current import Current
from vmfs.mm.printk import Level

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine


class Panic(OutOfMemory):
    """The machine stopped while it looked for memory."""


def panic(machine: Machine, message: str, current: Current, cpu: int, cause: str) -> Panic:
    """Stop the machine; to be raised by the caller."""
    machine.printk(Level.EMERG, f"Kernel panic - not syncing: {message}")
    dump_stack.dump_stack(machine, current, cpu, cause, dying=True)
    if machine.sysctl.panic > 0:
        machine.printk(Level.EMERG, f"Rebooting in {machine.sysctl.panic} seconds..")
    machine.printk(Level.EMERG, f"---[ end Kernel panic - not syncing: {message} ]---")
    machine.panicked = message
    machine.touch()
    return Panic([])
