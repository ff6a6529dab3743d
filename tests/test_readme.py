"""README is true: its table of files is current, the commands and paths it names exist."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

TOP = Path(__file__).parent.parent
README = (TOP / "README.md").read_text()


def test_table_of_files_is_current() -> None:
    files = runpy.run_path(str(TOP / "scripts" / "files"))

    assert files["BEGIN"] + files["table"]() + files["END"] in README


def test_paths_exist() -> None:
    named = set(re.findall(r"(?<!/)\b((?:scripts|vmfs|tests|docs)/[\w./]*\w)", README))
    places = {path for path in named if "NAME" not in path}

    assert [path for path in sorted(places) if not (TOP / path).exists()] == []


def test_commands_exist() -> None:
    from vmfs.cli import vmfs

    named = set(re.findall(r"^\| `vmfs (\w+)|, `vmfs (\w+)` \|", README, re.MULTILINE))

    assert {a or b for a, b in named} <= set(vmfs.commands)
