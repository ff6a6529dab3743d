"""Readers of the values a TOML file may hold, and of tables of them.

They raise SpecError without saying where; `at` and the readers of tables add the key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vmfs.spec.sizes import SpecError, parse_list, parse_size

Reader = Callable[[Any], Any]
Row = tuple[str, Reader]  # the field it fills, and how


def _is(kind: type, word: str) -> Reader:
    def read(value: Any) -> Any:
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise SpecError(f"{value!r}; accepted: {word}")
        return value

    return read


text = _is(str, "text")
boolean = _is(bool, "true or false")
integer = _is(int, "a whole number")


def size(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str):
        return parse_size(value)
    raise SpecError(f'{value!r}; accepted: a size, as "512M", or a number of bytes')


def id_list(value: Any) -> tuple[int, ...]:
    if isinstance(value, str):
        return parse_list(value)
    if isinstance(value, list):
        return tuple(integer(item) for item in value)
    return (integer(value),)


def numbers(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise SpecError(f"{value!r}; accepted: a list of whole numbers, as [10, 21]")
    return tuple(integer(item) for item in value)


def kbytes(value: Any) -> int:
    return size(value) >> 10


def sizes_kbytes(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise SpecError(f'{value!r}; accepted: a list of sizes, as ["1G", "2M"]')
    return tuple(kbytes(item) for item in value)


def scalar(value: Any) -> str:
    """A value as it would be written to a sysctl's file, or after a control line's "key="."""
    if isinstance(value, list):
        return "\t".join(scalar(item) for item in value)
    if isinstance(value, bool):
        return str(int(value))
    if not isinstance(value, (int, str)):
        raise SpecError(f"{value!r}; accepted: a number, text, or a list of numbers")
    return str(value)


def table(value: Any, rows: Mapping[str, Row]) -> dict[str, Any]:
    """The fields that a TOML table's keys fill."""
    if not isinstance(value, dict):
        raise SpecError(f"{value!r}; accepted: a table of {', '.join(rows)}")
    unknown = [key for key in value if key not in rows]
    if unknown:
        raise SpecError(f"{unknown[0]}: unknown key; accepted: {', '.join(rows)}")
    return {rows[key][0]: at(key, rows[key][1], item) for key, item in value.items()}


def at(where: str, read: Reader, value: Any) -> Any:
    try:
        return read(value)
    except SpecError as error:
        raise SpecError(f"{where}: {error}") from None


def open_table(read: Reader, key: Reader = text) -> Reader:
    """A table whose keys are not known beforehand."""

    def read_table(value: Any) -> dict[Any, Any]:
        if not isinstance(value, dict):
            raise SpecError(f"{value!r}; accepted: a table")
        return {at(name, key, name): at(name, read, item) for name, item in value.items()}

    return read_table


def array(read_one: Reader) -> Reader:
    def read(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise SpecError(f"{value!r}; accepted: tables in [[double brackets]]")
        return tuple(at(str(index), read_one, item) for index, item in enumerate(value))

    return read


def one(kind: Callable[..., Any], rows: Mapping[str, Row], *required: str) -> Reader:
    def read(value: Any) -> Any:
        found = table(value, rows)
        for key in required:
            if key not in value:
                raise SpecError(f"{key}: missing; accepted keys: {', '.join(rows)}")
        return kind(**found)

    return read
