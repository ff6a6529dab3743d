"""What must agree, by recording and area, kept in tests/recorded/floor.toml."""

from __future__ import annotations

import tomllib
from typing import NamedTuple

from tests.conformance.agreement import Agreement
from tests.recordings import RECORDED

PATH = RECORDED / "floor.toml"


class Floor(NamedTuple):
    """So many comparisons agreed, of so many; `compared - agreed` may disagree, and no more."""

    agreed: int
    compared: int

    def holds(self, agreement: Agreement) -> bool:
        """Neither may more disagree nor less be compared."""
        few = len(agreement.disagreements) <= self.compared - self.agreed
        return few and agreement.agreed >= self.agreed


Table = dict[str, dict[str, Floor]]


def read() -> Table:
    table = tomllib.loads(PATH.read_text()) if PATH.exists() else {}
    return {name: {area: Floor(*counts) for area, counts in row.items()} for name, row in table.items()}


FLOOR = read()


def raise_to(agreements: dict[str, dict[str, Agreement]]) -> None:
    """Writes what agrees now, where that is more than what was there."""
    floor = read()
    for name, areas in agreements.items():
        row = floor.setdefault(name, {})
        for area, agreement in areas.items():
            if agreement.compared and (area not in row or row[area].holds(agreement)):
                row[area] = Floor(agreement.agreed, agreement.compared)
    head = "# [agreed, compared]; `scripts/conformance --raise-floor` raises it, nothing lowers it.\n"
    body = "".join(
        f'\n["{name}"]\n' + "".join(f'"{area}" = [{f.agreed}, {f.compared}]\n' for area, f in row.items())
        for name, row in sorted(floor.items())
    )
    PATH.write_text(head + body)
