"""The least that must agree, by recording and area, kept in tests/recorded/floor.toml."""

from __future__ import annotations

import tomllib

from tests.recordings import RECORDED

PATH = RECORDED / "floor.toml"

Table = dict[str, dict[str, int]]


def read() -> Table:
    return tomllib.loads(PATH.read_text()) if PATH.exists() else {}


FLOOR = read()


def raise_to(agreed: Table) -> None:
    """Writes the larger of what was there and what agrees now."""
    floor = read()
    for name, areas in agreed.items():
        row = floor.setdefault(name, {})
        row |= {area: max(count, row.get(area, 0)) for area, count in areas.items()}
    head = "# The least that must agree; `scripts/conformance --raise-floor` raises it, nothing lowers it.\n"
    body = "".join(
        f'\n["{name}"]\n' + "".join(f'"{area}" = {count}\n' for area, count in floor[name].items())
        for name in sorted(floor)
    )
    PATH.write_text(head + body)
