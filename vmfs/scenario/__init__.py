"""Scenarios: what happens to a machine at which time, written down in YAML, with what is expected of it.

`load` reads one; `attach` lets it run on a tree, as the time of that tree's machine passes. The
position is part of the machine: one saved in the middle goes on where it was.
"""

from vmfs.scenario.files import builtin, load, text
from vmfs.scenario.model import Scenario, ScenarioError
from vmfs.scenario.timetable import Timetable, attach

__all__ = ["Scenario", "ScenarioError", "Timetable", "attach", "builtin", "load", "text"]
