"""Conditions: FIELD OPERATOR VALUE, joined by "and"."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

from vmfs.scenario import field
from vmfs.scenario.field import Field
from vmfs.spec.sizes import UNITS

OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
NUMBER = re.compile(r"(-?\d+(?:\.\d+)?)([KMGT%]?)", re.ASCII)
ACCEPTED = (
    "FIELD < VALUE, with <, <=, ==, !=, >= or >; a value is a number, a size, N% of MemTotal, or a field"
)

Value = Callable[[Field], float]


class Condition(NamedTuple):
    left: Field
    sign: str
    number: float
    share: bool  # the number is one per cent of the whole
    right: Field | None  # instead of the number


@lru_cache(maxsize=1024)
def parse(text: str) -> tuple[Condition, ...]:
    """All that must hold. ValueError."""
    return tuple(_one(part) for part in re.split(r"\s+and\s+", text.strip()))


def fields_of(text: str) -> Iterator[Field]:
    """What a condition looks at."""
    return (name for each in parse(text) for name in (each.left, each.right) if name is not None)


def _one(text: str) -> Condition:
    found = re.fullmatch(r"(.+?)\s*(<=|>=|==|!=|<|>)\s*(.+)", text)
    if found is None:
        raise ValueError(f"{text!r} is no condition; accepted: {ACCEPTED}")
    left = field.parse(found[1])
    number = NUMBER.fullmatch(found[3])
    if number is None:
        if found[3][0] in "-0123456789":
            raise ValueError(f"{found[3]!r} is no value; accepted: {ACCEPTED}")
        return Condition(left, found[2], 0, share=False, right=field.parse(found[3]))
    share = number[2] == "%"
    return Condition(left, found[2], float(number[1]) * (1 if share else 1 << UNITS[number[2]]), share, None)


def holds(conditions: tuple[Condition, ...], value: Value) -> bool:
    return all(_holds(each, value) for each in conditions)


def _holds(condition: Condition, value: Value) -> bool:
    return OPERATORS[condition.sign](value(condition.left), wanted(condition, value))


def wanted(condition: Condition, value: Value) -> float:
    """The right side; a share is one of MemTotal, for swap of SwapTotal."""
    if condition.right is not None:
        return value(condition.right)
    if not condition.share:
        return condition.number
    whole = "SwapTotal" if condition.left.name.startswith("Swap") else "MemTotal"
    return value(Field(whole)) * condition.number / 100
