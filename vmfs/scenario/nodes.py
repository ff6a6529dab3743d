"""YAML as nodes that know their line. Read safely: no tags, no aliases, no keys twice."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import yaml

from vmfs.scenario.model import ScenarioError

_SHORT = reprlib.Repr()
_SHORT.maxstring = 70  # of a file that is no scenario at all

Reader = Callable[["Node"], Any]
MOST_DEPTH = 20
TAG = "tag:yaml.org,2002:"
TAGS = {TAG + kind for kind in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp")}


class Node(NamedTuple):
    """A value and where it stands: a dict of nodes, a list of nodes, or a scalar as YAML means it."""

    value: Any
    line: int

    def error(self, why: str) -> ScenarioError:
        return ScenarioError(f"{self.line}: {why}")


def parse(text: str) -> Node:
    """ScenarioError starts with the line."""
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise ScenarioError(f"{event.start_mark.line + 1}: *{event.anchor}: no aliases are accepted")
        # safe_load() in two halves: the nodes in between know their lines.
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as fault:
        line = fault.problem_mark.line + 1 if fault.problem_mark else 1
        raise ScenarioError(f"{line}: no YAML: {fault.problem}") from None
    except yaml.YAMLError as fault:
        raise ScenarioError(f"1: no YAML: {str(fault).splitlines()[0]}") from None
    if root is None:
        raise ScenarioError("1: empty; accepted: a scenario, with steps:")
    return _node(root, 0)


def _node(node: yaml.Node, depth: int) -> Node:
    line = node.start_mark.line + 1
    if depth > MOST_DEPTH:
        raise ScenarioError(f"{line}: nested too deep; accepted: {MOST_DEPTH} levels")
    if node.tag not in TAGS:
        raise ScenarioError(f"{line}: {node.tag.replace(TAG, '!!')}: no tags are accepted")
    if isinstance(node, yaml.MappingNode):
        return Node(_mapping(node, depth), line)
    if isinstance(node, yaml.SequenceNode):
        return Node([_node(item, depth + 1) for item in node.value], line)
    return Node(_scalar(node), line)


def _mapping(node: yaml.MappingNode, depth: int) -> dict[str, Node]:
    found: dict[str, Node] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise ScenarioError(f"{line}: a key is a word")
        if key.value in found:
            raise ScenarioError(f"{line}: {key.value}: given twice")
        found[key.value] = _node(value, depth + 1)._replace(line=line)
    return found


def _scalar(node: Any) -> Any:
    try:
        return yaml.constructor.SafeConstructor().construct_document(node)
    except (yaml.YAMLError, ValueError):
        raise ScenarioError(f"{node.start_mark.line + 1}: {node.tag} {node.value!r}: no such value") from None


# -- readers of one value; the caller adds the key ---------------------------------------------


def table(node: Node, rows: Mapping[str, Reader], *required: str) -> dict[str, Any]:
    """What the keys of a mapping hold."""
    if not isinstance(node.value, dict):
        raise node.error(f"{shown(node)}; accepted: keys {', '.join(rows)}")
    for key, item in node.value.items():
        if key not in rows:
            raise item.error(f"{key}: unknown key; accepted: {', '.join(rows)}")
    for key in required:
        if key not in node.value:
            raise node.error(f"{key}: missing; accepted keys: {', '.join(rows)}")
    return {key: at(key, rows[key], item) for key, item in node.value.items()}


def at(key: str, read: Reader, node: Node) -> Any:
    """The value of a key; what is wrong with it is said with the key's name."""
    try:
        return read(node)
    except ScenarioError as fault:
        line, _, why = str(fault).partition(": ")
        raise ScenarioError(f"{line}: {key}: {why}") from None


def shown(node: Node) -> str:
    if isinstance(node.value, (dict, list)):
        return "keys" if isinstance(node.value, dict) else "a list"
    return _SHORT.repr(node.value)


def words(node: Node) -> str:
    """Text; a number is text too."""
    if isinstance(node.value, (dict, list, bool)) or node.value is None:
        raise node.error(f"{shown(node)}; accepted: text")
    return str(node.value)


def many(node: Node) -> list[Node]:
    """One value or a list of them."""
    return list(node.value) if isinstance(node.value, list) else [node]


def count(first: int, last: int) -> Reader:
    def read(node: Node) -> int:
        if not isinstance(node.value, int) or isinstance(node.value, bool) or not first <= node.value <= last:
            raise node.error(f"{shown(node)}; accepted: a whole number from {first} to {last}")
        return node.value

    return read
