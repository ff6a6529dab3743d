"""Imports point down only, and form no cycle:

cli -> adapters -> scenario -> tree -> control -> views -> mm -> spec -> kernel.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "vmfs"

LAYERS = (
    {"kernel", "data"},
    {"spec"},
    {"mm"},
    {"views", "boot"},
    {"control"},
    {"tree", "capture"},
    {"scenario"},
    {"adapters", "namespace"},
    {"cli"},
    {"__main__", "__init__"},
)
"""Bottom first. Rooms of one layer stand beside each other and do not know each other."""

RANK = {room: rank for rank, rooms in enumerate(LAYERS) for room in rooms}

ONLY_USER = {
    "fuse": "adapters/fuse",
    "pyfakefs": "adapters/fakefs.py",
    "click": "cli",
    "pyarrow": "scenario/record.py",
    "yaml": "scenario/nodes.py",
    "numpy": "mm/",
}
"""A library -> the only place that may import it."""

MODULES = sorted(str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py"))


def imported(module: str) -> Iterator[str]:
    """The names a module imports when it runs; a cycle of types alone is allowed."""
    tree = ast.parse((PACKAGE / module).read_text())
    for node in tree.body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body.clear()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield f"{node.module}.{node.names[0].name}" if node.module == "vmfs" else str(node.module)


def dotted(module: str) -> str:
    """mm/buddy.py -> vmfs.mm.buddy"""
    return ".".join(("vmfs", *Path(module).with_suffix("").parts)).removesuffix(".__init__")


NAMES = {dotted(module) for module in MODULES}


def needed(module: str) -> Iterator[str]:
    """The modules that must be there before this one can run."""
    for node in ast.parse((PACKAGE / module).read_text()).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            inside = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name if name in NAMES else str(node.module) for name in inside)


def room(name: str) -> str:
    """vmfs.mm.buddy -> mm"""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    here = Path(module).parts[0].removesuffix(".py")

    for name in imported(module):
        if name.split(".")[0] == "vmfs":
            there = room(name)
            assert there == here or RANK[there] < RANK[here], f"{module} imports {name}"


@pytest.mark.parametrize("module", MODULES)
def test_a_library_has_one_user(module: str) -> None:
    for name in imported(module):
        place = ONLY_USER.get(name.split(".")[0])
        assert place is None or module.startswith(place), f"{module} imports {name}, {place} may"


def test_every_room_has_a_layer() -> None:
    assert {Path(module).parts[0].removesuffix(".py") for module in MODULES} <= set(RANK)


def test_any_module_can_be_imported_first():
    TopologicalSorter({dotted(m): set(needed(m)) for m in MODULES}).prepare()  # CycleError names a cycle


LINES, BODY = 300, 25
TABLES = {"kernel.py", "views/proc/sys/kernel.py"}
"""Modules that are a list of rows, and may be longer."""


@pytest.mark.parametrize("module", MODULES)
def test_modules_and_functions_stay_small(module):
    text = (PACKAGE / module).read_text()
    assert module in TABLES or len(text.splitlines()) <= LINES
    functions = (
        n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    for function in functions:
        body = [
            n for n in function.body if not (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant))
        ]
        if body:
            assert (function.end_lineno or 0) - body[0].lineno < BODY, function.name
