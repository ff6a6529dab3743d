"""From a description to a tree: the kernel boots, then userland does what the description says."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vmfs import control
from vmfs.mm.machine import Machine
from vmfs.mm.mmzone import PAGE_SIZE
from vmfs.spec import SpecError
from vmfs.tree.tree import Tree

if TYPE_CHECKING:
    from vmfs.spec import Spec, TaskSpec


def booted(spec: Spec, elapsed: Callable[[], float] | None = None) -> Tree:
    """The tree of the described machine: its sysctls set, its files read, its tasks started.

    SpecError, where the machine refuses one of them; `elapsed` as for Tree.
    """
    from vmfs.boot import boot

    tree = Tree(Machine.from_snapshot(boot(spec)), elapsed)
    for name, value in spec.sysctl.items():
        _set(tree, name, value)
    cache = spec.page_cache
    if cache.size_bytes:
        tree.machine.read_files(-(-cache.size_bytes // PAGE_SIZE), cache.files or 1)
    for task in spec.tasks:
        _start(tree, task)
    return tree


def _set(tree: Tree, name: str, value: str) -> None:
    """As sysctl(8): vm.swappiness, vm/swappiness; without a group it is of vm."""
    path = name.replace(".", "/")
    try:
        tree.write(f"/proc/sys/{path if '/' in path else f'vm/{path}'}", f"{value}\n")
    except OSError as fault:
        raise SpecError(f"sysctl: {name} = {value!r}: {fault.strerror}") from None


def _start(tree: Tree, task: TaskSpec) -> None:
    options = " ".join(f"{key}={value}" for key, value in task.options.items())
    try:
        control.run(tree, f"start {task.name} {options}")
    except OSError as fault:
        raise SpecError(f"task {task.name!r}: {fault.strerror}") from None
