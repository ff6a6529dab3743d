"""What a scenario consists of: plain data. Times in microseconds since its start."""

from __future__ import annotations

from dataclasses import dataclass


class ScenarioError(ValueError):
    """A scenario that cannot be: one line that names file, line, key and what is accepted."""


@dataclass(frozen=True, slots=True)
class Action:
    """One thing done, at `line` of the file: a control line, a write to a file, or a check.

    `kind` is "do", "write", "expect" or "end"; `path` is that of a write. `refused` names the errno
    that is wanted, or is "any" where a refusal is as good as success.
    """

    kind: str
    text: str
    line: int
    path: str = ""
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """Actions and when they come: at a time, again and again, or when something holds.

    `every` is 0 for a step that comes once. With `when` the step waits, from `at` on, until all
    conditions have held for `lasting`, and comes once each time they begin to hold.
    """

    line: int
    actions: tuple[Action, ...]
    at: int = 0
    every: int = 0
    until: int | None = None
    times: int | None = None
    when: tuple[str, ...] = ()
    lasting: int = 0
    jitter: int = 0


@dataclass(frozen=True, slots=True)
class Recording:
    """Which fields are sampled, and how often."""

    fields: tuple[str, ...] = ()
    every: int = 10_000_000


@dataclass(frozen=True, slots=True)
class Scenario:
    """A machine, by name or by file, and the steps of its life. None leaves the machine's own."""

    name: str
    file: str
    steps: tuple[Step, ...]
    duration: int
    description: str = ""
    alert: str = ""
    machine: str | None = None
    kernel: str | None = None
    seed: int | None = None
    record: Recording = Recording()
