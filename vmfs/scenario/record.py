"""Samples of a machine's fields as a table: CSV, or Parquet where pyarrow is installed."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path

from vmfs.scenario.field import Field
from vmfs.scenario.field import parse as parse_field
from vmfs.scenario.model import ScenarioError
from vmfs.scenario.timetable import SECOND, Timetable
from vmfs.tree import Tree

DEFAULT_FIELDS = ("MemFree", "MemAvailable", "Cached", "AnonPages", "Slab", "SwapFree", "Dirty")
ENDINGS = (".csv", ".parquet")


@dataclass(slots=True)
class Samples:
    """The column "seconds" counts from the start of the scenario."""

    fields: tuple[Field, ...]
    rows: list[tuple[float, ...]] = field(default_factory=list)

    @classmethod
    def of(cls, names: tuple[str, ...]) -> Samples:
        return cls(tuple(parse_field(name) for name in names))

    def take(self, timetable: Timetable, tree: Tree) -> None:
        seconds = (tree.machine.clock.microsecs - timetable.start) / SECOND
        self.rows.append((seconds, *(timetable.value(tree, name) for name in self.fields)))

    def columns(self) -> dict[str, list[float]]:
        names = ["seconds", *(f"change {f.name}" if f.change else f.name for f in self.fields)]
        return {name: [_plain(row[i]) for row in self.rows] for i, name in enumerate(names)}

    def write(self, path: Path) -> None:
        """By the name's ending. ScenarioError where pyarrow is missing."""
        columns = self.columns()
        if path.suffix == ".parquet":
            _write_parquet(path, columns)
            return
        with path.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))


def check(path: Path) -> None:
    """ScenarioError for a file that could not be written in the end."""
    if path.suffix not in ENDINGS:
        raise ScenarioError(f"{path}: accepted: a name that ends in {' or '.join(ENDINGS)}")
    if path.suffix == ".parquet":
        _pyarrow(path)
    if not path.parent.is_dir():
        raise ScenarioError(f"{path}: there is no directory {path.parent}")


def _plain(value: float) -> float:
    return int(value) if value == int(value) else value


def _pyarrow(path: Path) -> None:
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise ScenarioError(f"{path}: Parquet needs pyarrow: pip install 'vmfs[parquet]'") from None


def _write_parquet(path: Path, columns: dict[str, list[float]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(columns), path)
