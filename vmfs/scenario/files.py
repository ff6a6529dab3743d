"""A scenario's YAML: ready ones by name, or a file. The tables below are the keys there are."""

from __future__ import annotations

import re
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from vmfs.kernel import RELEASES
from vmfs.scenario import nodes
from vmfs.scenario.condition import parse as parse_condition
from vmfs.scenario.field import parse as parse_field
from vmfs.scenario.model import Action, Recording, Scenario, ScenarioError, Step
from vmfs.scenario.nodes import Node, Reader, many, words

KERNELS = [f"{major}.{minor}" for major, minor in RELEASES]
UNITS = {"ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
MOST_MICROSECS = 10**9 * UNITS["s"]
MOST_STEPS = 100_000
NOT_IN_A_SCENARIO = {"advance": "time passes by itself", "load": "it would end the scenario"}


def builtin() -> tuple[str, ...]:
    """The names of the ready scenarios."""
    names = (file.name for file in _folder().iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml")))


def text(name: str) -> str:
    """The YAML of a ready scenario."""
    return _find(name).read_text(encoding="utf-8")


def load(name_or_path: str) -> Scenario:
    """A ready scenario by name, or a file's. ScenarioError: "FILE:LINE: KEY: …"."""
    source = _find(name_or_path)
    try:
        content = source.read_text(encoding="utf-8")
    except OSError as fault:
        raise ScenarioError(f"{name_or_path}: {fault.strerror}; accepted: a scenario's YAML file") from None
    except UnicodeDecodeError:
        raise ScenarioError(f"{name_or_path}: no text in UTF-8") from None
    label = str(source) if isinstance(source, Path) else f"{name_or_path}.yaml"
    try:
        return _scenario(nodes.parse(content), source, label)
    except ScenarioError as fault:
        raise ScenarioError(f"{label}:{fault}") from None


def _folder() -> Traversable:
    return resources.files("vmfs").joinpath("scenarios")


def _find(name: str) -> Path | Traversable:
    if "/" in name or name.endswith((".yaml", ".yml")):
        return Path(name)
    found = _folder().joinpath(f"{name}.yaml")
    if not found.is_file():
        known = ", ".join(builtin())
        raise ScenarioError(f"no scenario {name!r}; accepted: {known}, or a file's path as ./{name}.yaml")
    return found


def _scenario(root: Node, source: Path | Traversable, label: str) -> Scenario:
    found = nodes.table(root, SCENARIO, "steps", "duration")
    machine = found.get("machine")
    if machine and isinstance(source, Path) and ("/" in machine or machine.endswith(".toml")):
        found["machine"] = str(source.parent / machine)  # a path starts at the file
    return Scenario(file=label, name=source.name.rpartition(".")[0], **found)


# -- values ------------------------------------------------------------------------------------


def microsecs(node: Node) -> int:
    """90, 1.5s, 1h30m: seconds, or numbers with units."""
    written = words(node).replace(" ", "")
    if re.fullmatch(r"\d+(\.\d+)?", written):
        written += "s"
    if not re.fullmatch(r"(\d+(\.\d+)?(ms|[smhd]))+", written):
        raise node.error(f"{written!r}; accepted: seconds, or a time as 500ms, 90s, 1h30m, 2d")
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|[smhd])", written)
    total = sum(round(float(number) * UNITS[unit]) for number, unit in parts)
    if total > MOST_MICROSECS:
        raise node.error(f"{written!r}; accepted: at most 1000000000 seconds")
    return total


def _period(node: Node) -> int:
    found = microsecs(node)
    if found < UNITS["ms"]:
        raise node.error(f"{words(node)!r}; accepted: a time of 1ms or more")
    return found


def _kernel(node: Node) -> str:
    if words(node) not in KERNELS:
        raise node.error(f"{nodes.shown(node)}; accepted: {', '.join(KERNELS)}")
    return words(node)


def _conditions(node: Node) -> tuple[str, ...]:
    found = []
    for item in many(node):
        try:
            parse_condition(words(item))
        except ValueError as fault:
            raise item.error(str(fault)) from None
        found.append(words(item))
    return tuple(found)


def _field(node: Node) -> str:
    try:
        parse_field(words(node))
    except ValueError as fault:
        raise node.error(str(fault)) from None
    return words(node)


def _refused(node: Node) -> str:
    if node.value is True:
        return "any"
    if node.value is False or not re.fullmatch(r"E[A-Z0-9]+", words(node)):
        raise node.error(f"{nodes.shown(node)}; accepted: true, or an errno's name as ENOMEM")
    return words(node)


def _recording(node: Node) -> Recording:
    return Recording(**nodes.table(node, RECORD, "fields"))


# -- steps -------------------------------------------------------------------------------------


def _lines(node: Node) -> list[Action]:
    for item in many(node):
        verb = words(item).split(maxsplit=1)[0] if words(item).strip() else ""
        if not verb:
            raise item.error("empty; accepted: a control line")
        if verb in NOT_IN_A_SCENARIO:
            raise item.error(f"{verb}: not in a scenario: {NOT_IN_A_SCENARIO[verb]}")
    return [Action("do", words(item), item.line) for item in many(node)]


def _writes(node: Node) -> list[Action]:
    if not isinstance(node.value, dict):
        raise node.error(f"{nodes.shown(node)}; accepted: paths with what is written to them, as /proc/…: 1")
    for path, item in node.value.items():
        if not path.startswith("/"):
            raise item.error(f"{path}: accepted: a path that starts with /, as /proc/sys/vm/swappiness")
    return [
        Action("write", nodes.at(path, words, item), item.line, path) for path, item in node.value.items()
    ]


def _expects(node: Node) -> list[Action]:
    lines = [item.line for item in many(node)]
    return [Action("expect", each, line) for each, line in zip(_conditions(node), lines, strict=True)]


def _ends(node: Node) -> list[Action]:
    if node.value is not True:
        raise node.error(f"{nodes.shown(node)}; accepted: true")
    return [Action("end", "", node.line)]


def _steps(node: Node) -> tuple[Step, ...]:
    if not isinstance(node.value, list):
        raise node.error(f"{nodes.shown(node)}; accepted: a list of steps, each with - in front")
    found = [step for item in node.value for step in _step(item)]
    if len(found) > MOST_STEPS:
        raise node.error(f"{len(found)} steps; accepted: at most {MOST_STEPS}")
    return tuple(found)


def _step(node: Node) -> list[Step]:
    if isinstance(node.value, dict) and "loop" in node.value:
        return _loop(node)
    found = nodes.table(node, STEP)
    kept = [found.pop(kind) for kind in tuple(found) if kind in ACTIONS]
    refused = found.pop("refused", "")
    actions = tuple(
        Action(a.kind, a.text, a.line, a.path, refused if a.kind in ("do", "write") else "")
        for some in kept
        for a in some
    )
    if not actions:
        raise node.error(f"a step does nothing; accepted: {', '.join(ACTIONS)} or loop")
    if "when" in found and "every" in found:
        raise node.error("when and every exclude each other; accepted: one of them")
    if "lasting" in found and "when" not in found:
        raise node.error("lasting: only beside when")
    return [Step(node.line, actions, **found)]


def _loop(node: Node) -> list[Step]:
    """The steps again and again, each round a period later; {loop} in their texts is its number."""
    found = nodes.table(node, LOOP, "loop", "period", "steps")
    rounds = found["loop"] * len(found["steps"])
    if rounds > MOST_STEPS:
        raise node.error(f"loop: {rounds} steps; accepted: at most {MOST_STEPS}")
    return [
        _later(step, found.get("at", 0) + number * found["period"], number + 1)
        for number in range(found["loop"])
        for step in found["steps"]
    ]


def _later(step: Step, shift: int, number: int) -> Step:
    fields = {name: getattr(step, name) for name in Step.__slots__}
    fields["at"] += shift
    fields["until"] = None if step.until is None else step.until + shift
    fields["actions"] = tuple(
        Action(a.kind, a.text.replace("{loop}", str(number)), a.line, a.path, a.refused) for a in step.actions
    )
    return Step(**fields)


ACTIONS: dict[str, Reader] = {"do": _lines, "write": _writes, "expect": _expects, "end": _ends}
"""A step does them in the order in which it names them."""

STEP: dict[str, Reader] = {
    "at": microsecs,
    "every": _period,
    "until": microsecs,
    "times": nodes.count(1, 10**9),
    "when": _conditions,
    "lasting": microsecs,
    "jitter": microsecs,
    "refused": _refused,
    **ACTIONS,
}
LOOP: dict[str, Reader] = {
    "loop": nodes.count(1, MOST_STEPS),
    "period": _period,
    "at": microsecs,
    "steps": _steps,
}
RECORD: dict[str, Reader] = {
    "every": _period,
    "fields": lambda node: tuple(_field(item) for item in many(node)),
}
SCENARIO: dict[str, Any] = {
    "description": words,
    "alert": words,
    "machine": words,
    "kernel": _kernel,
    "seed": nodes.count(0, 2**63 - 1),
    "duration": _period,
    "record": _recording,
    "steps": _steps,
}
