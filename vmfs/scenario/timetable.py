"""A scenario at work: where it is, what comes next, and what was found."""

from __future__ import annotations

import heapq
import logging
from collections import deque
from dataclasses import dataclass, field
from errno import errorcode
from random import Random
from typing import NamedTuple

from vmfs import control
from vmfs.scenario import condition
from vmfs.scenario import field as fields
from vmfs.scenario.field import Field
from vmfs.scenario.model import Action, Scenario, ScenarioError, Step
from vmfs.tree import Tree

SECOND = 1_000_000
EXPECT = "expect "

log = logging.getLogger(__name__)


class Outcome(NamedTuple):
    """What became of a check, or of a line that was refused; `microsecs` since the start."""

    microsecs: int
    line: int
    what: str
    held: bool
    seen: str


@dataclass(slots=True)
class Watch:
    """A step that waits: how often it came, since when its condition holds, whether it came for it."""

    step: int
    came: int = 0
    since: int | None = None
    done: bool = False


@dataclass(slots=True, eq=False)
class Timetable:
    """Belongs to a machine and is saved with it. Times in microseconds of the machine's clock.

    `queue` holds when which step comes for the how-manieth time, `pending` what is left to do now.
    """

    scenario: Scenario
    start: int
    seed: int
    queue: list[tuple[int, int, int]] = field(default_factory=list)
    watches: list[Watch] = field(default_factory=list)
    pending: deque[Action] = field(default_factory=deque)
    before: dict[str, float] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)
    ended: bool = False

    @property
    def end(self) -> int:
        return self.start + self.scenario.duration

    def advance(self, tree: Tree, seconds: float) -> None:
        """Live through the time, with all that comes in it."""
        machine = tree.machine
        until = machine.clock.after(seconds)
        self._work(tree)
        while tree.machine is machine and (now := self._next(tree)) is not None and now <= until:
            machine.tick((now - machine.clock.microsecs) / SECOND)
            if machine.clock.microsecs < now:
                return  # it has panicked: its time stands still
            self._collect(tree, now)
            self._work(tree)
        if tree.machine is machine:
            machine.tick((until - machine.clock.microsecs) / SECOND)

    @property
    def missed(self) -> list[Action]:
        """Checks at a time of their own that never came, though all was lived through."""
        if self.ended:
            return []
        came = {outcome.line for outcome in self.outcomes if outcome.what.startswith(EXPECT)}
        due = (action for step in self.scenario.steps if not step.when for action in step.actions)
        return [action for action in due if action.kind == "expect" and action.line not in came]

    def value(self, tree: Tree, name: Field) -> float:
        found = fields.value(tree, name.name)
        return found - self.before.get(name.name, 0) if name.change else found

    # -- when ------------------------------------------------------------------------------

    def plan(self, tree: Tree) -> None:
        """Before anything happens: when each step comes first, and what is compared with later."""
        for number, step in enumerate(self.scenario.steps):
            if step.when:
                self.watches.append(Watch(number))
            else:
                heapq.heappush(self.queue, (self._time(number, 0), number, 0))
        for step in self.scenario.steps:
            checks = [*step.when, *(a.text for a in step.actions if a.kind == "expect")]
            for name in (name for text in checks for name in condition.fields_of(text)):
                if name.change:
                    self.before[name.name] = fields.value(tree, name.name)

    def _time(self, number: int, run: int) -> int:
        step = self.scenario.steps[number]
        late = Random(f"{self.seed} {number} {run}").randint(0, step.jitter) if step.jitter else 0  # noqa: S311
        return self.start + step.at + run * step.every + late

    def _next(self, tree: Tree) -> int | None:
        if self.ended:
            return None
        due = [self.queue[0][0]] if self.queue else []
        now = tree.machine.clock.microsecs
        if any(self._waits(watch) for watch in self.watches):
            due.append((now // SECOND + 1) * SECOND)
        return max(min(due), now) if due else None

    def _waits(self, watch: Watch) -> bool:
        step = self.scenario.steps[watch.step]
        return watch.came < (step.times or 1)

    def _collect(self, tree: Tree, now: int) -> None:
        while self.queue and self.queue[0][0] <= now:
            _, number, run = heapq.heappop(self.queue)
            step = self.scenario.steps[number]
            self._add(step, run)
            if step.every and (step.times is None or run + 1 < step.times):
                following = self._time(number, run + 1)
                if step.until is None or step.at + (run + 1) * step.every <= step.until:
                    heapq.heappush(self.queue, (following, number, run + 1))
        if now % SECOND == 0:
            for watch in self.watches:
                self._look(tree, watch, now)

    def _look(self, tree: Tree, watch: Watch, now: int) -> None:
        step = self.scenario.steps[watch.step]
        late = step.until is not None and now > self.start + step.until
        if not self._waits(watch) or late or now < self.start + step.at:
            return
        value = lambda name: self.value(tree, name)  # noqa: E731  # bound to this moment
        if not all(condition.holds(condition.parse(text), value) for text in step.when):
            watch.since, watch.done = None, False
            return
        watch.since = now if watch.since is None else watch.since
        if not watch.done and now - watch.since >= step.lasting:
            watch.done = True
            self._add(step, watch.came)
            watch.came += 1

    def _add(self, step: Step, run: int) -> None:
        for a in step.actions:
            self.pending.append(
                Action(a.kind, a.text.replace("{run}", str(run + 1)), a.line, a.path, a.refused)
            )

    # -- what ------------------------------------------------------------------------------

    def _work(self, tree: Tree) -> None:
        """Do what is pending. An action is off the list before it happens, so a save does not repeat it."""
        machine = tree.machine
        while self.pending and tree.machine is machine and not self.ended:
            action = self.pending.popleft()
            if action.kind == "end":
                self.ended = True
            elif action.kind == "expect":
                self._check(tree, action)
            else:
                self._act(tree, action)

    def _act(self, tree: Tree, action: Action) -> None:
        what = f"write {action.path}" if action.kind == "write" else action.text
        try:
            if action.kind == "write":
                tree.write(action.path, f"{action.text}\n")
            else:
                control.run(tree, action.text)
        except OSError as fault:
            name = errorcode.get(fault.errno or 0, "EIO")
            if action.refused not in ("any", name):
                self._found(tree, action, what, held=False, seen=f"{name}, {fault.strerror}")
            return
        finally:
            tree.machine.touch()
        if action.refused not in ("", "any"):
            self._found(tree, action, what, held=False, seen=f"done, and not {action.refused}")

    def _check(self, tree: Tree, action: Action) -> None:
        def value(name: Field) -> float:
            return self.value(tree, name)

        try:
            conditions = condition.parse(action.text)
            held = condition.holds(conditions, value)
            seen = ", ".join(_shown(each, value) for each in conditions)
        except LookupError as fault:
            held, seen = False, str(fault.args[0])
        self._found(tree, action, EXPECT + action.text, held=held, seen=seen)

    def _found(self, tree: Tree, action: Action, what: str, *, held: bool, seen: str) -> None:
        since = tree.machine.clock.microsecs - self.start
        self.outcomes.append(Outcome(since, action.line, what, held, seen))
        if not held:
            log.warning(
                "%s:%d: after %g s: %s: %s", self.scenario.file, action.line, since / SECOND, what, seen
            )


def _shown(each: condition.Condition, value: condition.Value) -> str:
    name = f"change {each.left.name}" if each.left.change else each.left.name
    return f"{name} is {_number(value(each.left))} beside {_number(condition.wanted(each, value))}"


def _number(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else f"{value:.2f}"


def attach(tree: Tree, scenario: Scenario) -> Timetable:
    """Start the scenario on the tree's machine, now. ScenarioError for lines no machine understands."""
    for step in scenario.steps:
        for action in step.actions:
            if action.kind == "do":
                _check_line(tree, scenario, action)
            elif action.kind == "expect":
                _check_fields(tree, scenario, action)
    timetable = Timetable(scenario, tree.machine.clock.microsecs, tree.machine.seed)
    try:
        timetable.plan(tree)
        for text in scenario.record.fields:
            timetable.value(tree, fields.parse(text))
        for step in scenario.steps:
            for text in step.when:
                condition.holds(condition.parse(text), lambda name: timetable.value(tree, name))
    except LookupError as fault:
        raise ScenarioError(f"{scenario.file}: {fault.args[0]}") from None
    tree.machine.timetable = timetable
    timetable.advance(tree, 0)
    return timetable


def _check_fields(tree: Tree, scenario: Scenario, action: Action) -> None:
    """All but files, which may come later."""
    try:
        for name in condition.fields_of(action.text.replace("{run}", "1")):
            if not name.name.startswith("/"):
                fields.value(tree, name.name)
    except LookupError as fault:
        raise ScenarioError(f"{scenario.file}:{action.line}: expect: {fault.args[0]}") from None


def _check_line(tree: Tree, scenario: Scenario, action: Action) -> None:
    try:
        control.check(tree, action.text.replace("{run}", "1"))
    except OSError as fault:
        raise ScenarioError(f"{scenario.file}:{action.line}: do: {fault.strerror}") from None
