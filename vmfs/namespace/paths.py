"""What `--only` and `--hide` may name: paths with a shell's wildcards."""

from __future__ import annotations

import glob
import posixpath
from pathlib import Path

from vmfs.namespace.base import PLACES
from vmfs.namespace.spaces import NamespaceError

ROOTS = ("/proc/", "/sys/", "/dev/")
NEEDED = ("/dev/null", *PLACES)
"""By vmfs itself, with all that is above."""
NEEDS = "every process, or vmfs itself, needs what is there"


class WrongPath(NamespaceError):
    """`option` was given a path that it cannot be given."""

    def __init__(self, option: str, path: str, why: str) -> None:
        super().__init__(f"{path!r}: {why}")
        self.option = option


def to_lay_over(machine: str, patterns: tuple[str, ...]) -> list[str]:
    """What the machine has of that. WrongPath: nothing."""
    found = []
    for pattern in patterns:
        there = [path.removeprefix(machine) for path in _matches(pattern, machine)]
        usable = [path for path in there if path.startswith(ROOTS) and _may_be_covered(path, machine)]
        if not usable:
            raise WrongPath(
                "--only", pattern, NEEDS if there else "the machine has no such file or directory"
            )
        found += usable
    return list(dict.fromkeys(found))


def to_hide(patterns: tuple[str, ...]) -> set[str]:
    """What the host has of that. WrongPath: it cannot be taken away."""
    found = set()
    for pattern in patterns:
        there = _matches(pattern)
        usable = [path for path in there if _may_be_covered(path)]
        if there and not usable:
            raise WrongPath("--hide", pattern, NEEDS)
        found.update(usable)
    return found


def _matches(pattern: str, root: str = "") -> list[str]:
    if not pattern.startswith("/"):
        return []
    return sorted(glob.glob(f"{root}/{posixpath.normpath(pattern).lstrip('/')}"))  # noqa: PTH207 # of any root


def _may_be_covered(path: str, root: str = "") -> bool:
    """Neither a whole /proc, nor what is of a process: links there lead to those who look."""
    if path.count("/") < 2 or any(f"{needed}/".startswith(f"{path}/") for needed in NEEDED):
        return False
    top = Path(root + path)
    return not (top.parent == Path(f"{root}/proc") and (top.name.isdecimal() or top.is_symlink()))
