"""Run the commands of docs/lab.md; with --write, put what they print into the page.

python scripts/lab.py [--write]
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs/lab.md"
BIN = Path(sys.executable).parent
RUN = (str(BIN / "vmfs"), "run", "--machine", "article", "--clock", "manual", "--", "bash")
END = "\x1e"
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Command:
    """A line of the page that starts with `$ `, the section it is in, and what the page says it prints."""

    section: str
    text: str
    printed: str


def commands(page: str) -> list[Command]:
    """In the order of the page."""
    found = []
    for part in re.split(r"^## ", page, flags=re.MULTILINE):
        section = part.partition("\n")[0]
        for block in BLOCK.finditer(part):
            for one in re.split(r"^\$ ", block[1], flags=re.MULTILINE)[1:]:
                text, _, printed = one.partition("\n")
                found.append(Command(section, text, printed))
    return found


def printed(texts: list[str]) -> list[str]:
    """What each command prints, all in one shell on one machine. RuntimeError when one fails."""
    script = "".join(f"eval {shlex.quote(text)} 2>&1; printf '{END}%d{END}' $?\n" for text in texts)
    environment = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}", "LC_ALL": "C", "COLUMNS": "80"}
    done = subprocess.run(RUN, input=script, capture_output=True, text=True, env=environment, timeout=240)
    parts = done.stdout.split(END)
    outputs, codes = parts[0:-1:2], parts[1::2]
    if len(outputs) != len(texts):
        raise RuntimeError(f"{len(outputs)} of {len(texts)} commands ran: {done.stderr.strip()}")
    for text, output, code in zip(texts, outputs, codes, strict=True):
        if code != "0":
            raise RuntimeError(f"{text}: exit {code}: {output.strip()}")
    return [re.sub(r"[ \t]+$", "", output, flags=re.MULTILINE) for output in outputs]


def rewritten(page: str) -> str:
    """The page with what the commands print now."""
    outputs = iter(printed([command.text for command in commands(page)]))

    def block(found: re.Match[str]) -> str:
        texts = [one.partition("\n")[0] for one in re.split(r"^\$ ", found[1], flags=re.MULTILINE)[1:]]
        return "```console\n" + "".join(f"$ {text}\n{next(outputs)}" for text in texts) + "```"

    return BLOCK.sub(block, page)


def main() -> None:
    page = PAGE.read_text()
    if "--write" in sys.argv[1:]:
        PAGE.write_text(rewritten(page))
        return
    found = commands(page)
    for command, output in zip(found, printed([command.text for command in found]), strict=True):
        print(f"$ {command.text}\n{output}", end="")


if __name__ == "__main__":
    main()
