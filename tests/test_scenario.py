"""Scenarios: the ready ones hold, wrong ones are refused by line and key, and a life can be cut anywhere."""

import csv
import os
import pty
import re
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from tests.mounting import VMFS, mounted, vmfs
from vmfs import scenario, spec
from vmfs.mm import state
from vmfs.mm.check import check
from vmfs.scenario import ScenarioError
from vmfs.scenario.timetable import SECOND
from vmfs.tree import Tree
from vmfs.tree.boot import booted

DOCS = Path(__file__).parent.parent / "docs/scenarios.md"
NAMES = scenario.builtin()
WANTED = {
    "leak", "cache-fill", "node-imbalance", "hugepage-exhaustion", "fragmentation", "swap-storm", "slab-leak",
    "oom", "min-free-too-high", "dirty-writeback-stall", "khugepaged-min-free", "diurnal",
}  # fmt: skip
HEAD = "machine: tiny\nduration: 1m\n"


def living(found):
    tree = booted(spec.load(found.machine, found.kernel, found.seed))
    return tree, scenario.attach(tree, found)


def written(folder, text):
    file = folder / "some.yaml"
    file.write_text(text)
    return scenario.load(str(file))


def texts(machine):
    tree = Tree(machine)
    return [
        tree.read(f"/{name}") for name in ("proc/meminfo", "proc/vmstat", "proc/buddyinfo", "vmfs/status")
    ]


def test_the_ready_scenarios_are_those_that_are_documented():
    assert set(NAMES) == WANTED
    assert re.findall(r"^## `(.+)`", DOCS.read_text(), re.MULTILINE) == sorted(NAMES)
    for name in NAMES:
        section = DOCS.read_text().partition(f"## `{name}`")[2].partition("\n## ")[0]
        assert f"Should trip: {' '.join(scenario.load(name).alert.split())}." in section


@pytest.mark.parametrize("name", NAMES)
def test_a_ready_scenario_holds(name):
    found = scenario.load(name)
    tree, timetable = living(found)
    tree.tick(found.duration / SECOND)

    assert found.description
    assert found.alert
    wanted = sum(a.kind == "expect" for step in found.steps for a in step.actions)
    assert [outcome for outcome in timetable.outcomes if not outcome.held] == []
    assert len(timetable.outcomes) >= wanted > 0  # every check was reached
    check(tree.machine)


def everything(tree):
    """All that can be read, and why the rest cannot."""
    found = {}
    for entry in tree.walk():
        try:
            found[entry.path] = tree.read(entry.path)
        except OSError as refused:
            found[entry.path] = str(refused.errno)
    return found


LONG = ("diurnal",)


@pytest.mark.parametrize(
    ("name", "share"),
    [
        pytest.param(name, (0.13, 0.37, 0.5, 0.77)[i % 4], marks=pytest.mark.slow if name in LONG else ())
        for i, name in enumerate(NAMES)
    ],
)
def test_a_saved_life_goes_on_to_the_same_bytes(name, share):
    found = scenario.load(name)
    whole, _ = living(found)
    whole.tick(found.duration / SECOND)

    first, _ = living(found)
    first.tick(found.duration / SECOND * share)
    second = Tree(state.load(first.machine.save()))
    second.tick(found.duration / SECOND * (1 - share))
    assert everything(second) == everything(whole)


def test_how_time_is_cut_does_not_matter():
    found = scenario.load("cache-fill")
    whole, _ = living(found)
    pieces, _ = living(found)
    whole.tick(300)
    for _ in range(1000):
        pieces.tick(0.3)

    assert texts(pieces.machine) == texts(whole.machine)


def test_a_save_among_the_lines_of_a_step_is_not_repeated(tmp_path):
    file = tmp_path / "state"
    found = written(
        tmp_path,
        f"{HEAD}steps:\n  - at: 5\n    do: [start a anon=1M, 'save {file}', start b anon=1M]\n",
    )
    tree, _ = living(found)
    tree.tick(10)
    loaded = Tree(state.load(file.read_bytes()))
    assert [task.name for task in loaded.machine.tasks.values()] == ["a"]

    loaded.tick(5)
    assert texts(loaded.machine) == texts(tree.machine)


def test_jitter_comes_from_the_seed(tmp_path):
    text = f"{HEAD}steps:\n  - every: 10\n    jitter: 8\n    do: start t{{run}} anon=1M\n"
    found = written(tmp_path, text)

    def starts(seed):
        tree = booted(spec.load("tiny", seed=seed))
        scenario.attach(tree, found)
        tree.tick(50)
        return [task.started_centisecs for task in tree.machine.tasks.values()]

    assert starts(1) == starts(1) != starts(2)
    assert len(set(starts(1))) == len(starts(1)) >= 5


def test_conditions_come_each_time_they_begin_to_hold(tmp_path):
    text = """machine: tiny
duration: 5m
steps:
  - loop: 3
    period: 60s
    at: 10s
    steps:
      - do: start big anon=200M
      - at: 20s
        do: stop big
  - when: task.big == 1 and MemFree < 70%
    lasting: 5s
    times: 2
    do: start seen{run} anon=1M
"""
    tree, timetable = living(written(tmp_path, text))
    tree.tick(300)

    names = [task.name for task in tree.machine.tasks.values()]
    seconds = [task.started_centisecs - timetable.start // 10_000 for task in tree.machine.tasks.values()]
    assert names == ["seen1", "seen2"]
    assert 1500 <= seconds[0] < 1700
    assert seconds[1] - seconds[0] == 6000


def test_what_was_not_as_expected_is_told(tmp_path):
    text = f"""{HEAD}steps:
  - expect: MemFree < 1M
  - do: stop nobody
  - do: stop nobody
    refused: ESRCH
  - do: stop nobody
    refused: ENOMEM
  - write: {{/proc/sys/vm/swappiness: 1000}}
"""
    _, timetable = living(written(tmp_path, text))

    assert [(o.line, o.seen.split()[0]) for o in timetable.outcomes if not o.held] == [
        (4, "MemFree"),
        (5, "ESRCH,"),
        (8, "ESRCH,"),
        (10, "EINVAL,"),
    ]


WRONG = {
    "": "1: empty",
    "steps: [": "no YAML",
    "duration: 5\n": "1: steps: missing",
    f"{HEAD}stps: []": "3: stps: unknown key; accepted: description",
    f"{HEAD}duration: 2m\nsteps: []": "3: duration: given twice",
    f"{HEAD}kernel: 6.13\nsteps: []": "3: kernel: 6.13; accepted: 5.10, 6.1, 6.12, 7.2",
    f"{HEAD}seed: -1\nsteps: []": "3: seed: -1; accepted: a whole number from 0",
    "machine: tiny\nduration: soon\nsteps: []": "2: duration: 'soon'; accepted: seconds, or a time",
    f"{HEAD}steps: 5": "3: steps: 5; accepted: a list of steps",
    f"{HEAD}steps:\n  - at: 5": "4: steps: a step does nothing; accepted: do, write, expect, end",
    f"{HEAD}steps:\n  - at: 5\n    doo: x": "5: steps: doo: unknown key; accepted: at, every",
    f"{HEAD}steps:\n  - do: advance 5": "4: steps: do: advance: not in a scenario: time passes by itself",
    f"{HEAD}steps:\n  - expect: MemFree": "4: steps: expect: 'MemFree' is no condition; accepted: FIELD",
    f"{HEAD}steps:\n  - when: MemFree < 5X\n    do: oom": "4: steps: when: '5X' is no value",
    f"{HEAD}steps:\n  - write: [a]": "4: steps: write: a list; accepted: paths",
    f"{HEAD}steps:\n  - write: {{vm: 1}}": "4: steps: write: vm: accepted: a path that starts with /",
    f"{HEAD}steps:\n  - &a\n    do: oom\n  - *a": "6: *a: no aliases are accepted",
    f"{HEAD}steps: !!python/object/apply:os.system [x]": "no tags are accepted",
    f"{HEAD}steps:\n  - loop: 2\n    steps: []": "4: steps: period: missing; accepted keys: loop",
    f"{HEAD}record: {{fields: [a b]}}\nsteps: []": "3: record: fields: 'a b' is no field",
    f"{HEAD}steps:\n  - every: 0\n    do: oom": "4: steps: every: '0'; accepted: a time of 1ms or more",
}


@pytest.mark.parametrize("text", WRONG)
def test_wrong_yaml_is_refused_by_line_and_key(text, tmp_path):
    with pytest.raises(ScenarioError) as refused:
        written(tmp_path, text)

    assert WRONG[text] in str(refused.value)
    assert str(refused.value).startswith(f"{tmp_path}/some.yaml:")
    assert "\n" not in str(refused.value)


REFUSED = {
    "strat x": "some.yaml:4: do: strat: no such verb; there are start, stop",
    "start x anon=lots": "some.yaml:4: do: start: anon 'lots': a size is a number",
    "read 5M nod=1": "some.yaml:4: do: read: nod= is not known",
}


@pytest.mark.parametrize("line", REFUSED)
def test_a_line_no_machine_understands_is_refused_at_the_start(line, tmp_path):
    found = written(
        tmp_path, f"{HEAD}steps:\n  - at: 50\n    do: {line}\n".replace("  - at: 50\n    do", "  - do")
    )
    with pytest.raises(ScenarioError) as refused:
        living(found)

    assert REFUSED[line] in str(refused.value)


def test_a_field_no_machine_has_is_refused_at_the_start(tmp_path):
    with pytest.raises(ScenarioError, match="MemFre: this machine has no such field"):
        living(written(tmp_path, f"{HEAD}steps:\n  - when: MemFre < 5%\n    do: oom\n"))


def test_the_command_records_and_exits_by_what_was_found(tmp_path):
    samples = tmp_path / "samples.csv"
    line = vmfs("scenario", "run", "leak", "--record", str(samples), "--interval", "60")

    assert line == "leak: 600 s on tiny, 6 of 6 as expected\n"
    rows = list(csv.DictReader(samples.read_text().splitlines()))
    assert [float(row["seconds"]) for row in rows] == [60.0 * i for i in range(11)]
    rss = [int(row["task.leak.rss"]) for row in rows]
    assert rss[1] == (16 + 50) << 20
    assert rss[2] - rss[1] == 60 << 20
    assert rss[-1] == 0

    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(f"{HEAD}steps:\n  - expect: MemFree < 1M\n")
    done = subprocess.run([*VMFS, "scenario", "run", str(wrong)], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == "wrong: 60 s on tiny, 0 of 1 as expected\n"
    assert re.fullmatch(
        rf"vmfs: scenario: {wrong}:4: after 0 s: expect MemFree < 1M: MemFree is \d+ beside 1048576\n",
        done.stderr,
    )


def test_parquet_holds_the_same_samples(tmp_path):
    from pyarrow import parquet

    table, text = tmp_path / "samples.parquet", tmp_path / "samples.csv"
    for file in (table, text):
        vmfs(
            "scenario", "run", "leak", "--record", str(file), "--interval", "60", "--field", "change MemFree"
        )
    columns = parquet.read_table(table).to_pydict()

    assert list(columns) == ["seconds", "change MemFree"]
    assert columns["seconds"] == [60.0 * i for i in range(11)]
    rows = csv.DictReader(text.read_text().splitlines())
    assert columns["change MemFree"] == [int(row["change MemFree"]) for row in rows]


def test_without_pyarrow_parquet_is_refused_before_anything_runs(tmp_path):
    (tmp_path / "pyarrow.py").write_text("raise ImportError\n")
    file = tmp_path / "samples.parquet"
    done = subprocess.run(
        [*VMFS, "scenario", "run", "leak", "--record", str(file)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"},
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"vmfs: scenario: {file}: Parquet needs pyarrow: pip install 'vmfs[parquet]'\n"


def test_a_terminal_gets_a_progress_bar():
    ours, its = pty.openpty()
    command = [*VMFS, "scenario", "run", "leak"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=its) as process:
        os.close(its)
        seen = b""
        with suppress(OSError):  # EIO: nobody has the terminal open any more
            while piece := os.read(ours, 4096):
                seen += piece
        os.close(ours)
        assert process.stdout.read() == b"leak: 600 s on tiny, 6 of 6 as expected\n"

    assert b"simulated  [-" in seen
    assert b"  300/600" in seen
    assert b"#]  600/600" in seen


def test_list_and_show():
    lines = vmfs("scenario", "list").splitlines()

    assert [line.split()[0] for line in lines] == list(NAMES)
    assert vmfs("scenario", "show", "leak") == scenario.text("leak")


def test_a_mount_lives_by_a_scenario():
    with mounted("--scenario", "leak", "--clock", "manual") as root:
        control = root / "vmfs/ctl"
        assert "MemTotal" in (root / "proc/meminfo").read_text()
        control.write_text("advance 60\n")
        assert '"name": "leak"' in (root / "vmfs/status").read_text()
        control.write_text("advance 540\n")
        assert "\noom_kill 1\n" in (root / "proc/vmstat").read_text()


def run(*arguments):
    return subprocess.run([*VMFS, "scenario", "run", *arguments], capture_output=True, text=True, check=False)


LATE = f"{HEAD}steps:\n  - {{at: 2h, expect: MemFree > 0}}\n  - {{when: MemFree < 0, expect: MemFree > 0}}"


@pytest.mark.parametrize(
    ("options", "code", "out"), [((), 1, "0 of 1 as expected"), (("--for", "5"), 0, "0 of 0 as expected")]
)
def test_a_check_that_never_came_is_none_that_held(options, code, out, tmp_path):
    path = tmp_path / "late.yaml"
    path.write_text(LATE)
    done = run(str(path), *options)

    assert (done.returncode, out in done.stdout) == (code, True)
    assert ("late.yaml:4: expect MemFree > 0: never came" in done.stderr) == bool(code)


@pytest.mark.parametrize("seconds", ["inf", "nan", "1e400", "-1"])
def test_time_has_an_end(seconds):
    done = run("leak", "--for", seconds)

    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_a_field_that_no_machine_has_is_refused_before_anything_happens(tmp_path):
    scenario = written(tmp_path, f"{HEAD}steps:\n  - {{at: 5, expect: MemFre < 5}}")
    with pytest.raises(ScenarioError, match=r"some\.yaml:4: expect: MemFre: this machine has no such field"):
        living(scenario)
