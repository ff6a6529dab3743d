"""Pages that leave their files at once, and drop_caches as recorded."""

from __future__ import annotations

import re

import pytest

from tests import recordings
from tests.conformance import machine as conformance
from tests.small_machine import small_machine
from vmfs.mm import truncate
from vmfs.mm.vmstat import Item


def numbers(text: str) -> dict[str, int]:
    return {name: int(value) for name, value in re.findall(r"^(\S+?):? +(\d+)", text, re.MULTILINE)}


def dropped(name: str) -> tuple[dict[str, int], dict[str, int], int]:
    """meminfo after the first drop_caches, recorded and ours, and how many pages the kernel deactivated."""
    steps = {step.name[:2]: step for step in recordings.steps(recordings.load(name))}
    before, after = steps["23"], steps["24"]
    tree = conformance.of(before)
    (write,) = recordings.actions(after)
    assert (write.path, write.payload in b"13") == ("/proc/sys/vm/drop_caches", True)
    tree.write(write.path, write.payload)
    events = [numbers((step / "proc/vmstat").read_text())["pgdeactivate"] for step in (before, after)]
    ours = numbers(tree.read("/proc/meminfo")) | numbers(tree.read("/proc/vmstat"))
    return numbers((after / "proc/meminfo").read_text()), ours, events[1] - events[0]


@pytest.mark.parametrize("name", ["trio-5.10", "trio-6.1", "pair-6.1"])
def test_tmpfs_that_nobody_maps_leaves_the_active_list(name):
    kernel, ours, deactivated = dropped(name)
    # A capture does not tell on which list the few pages of processes are.
    room = kernel["AnonPages"] + 16
    for label in ("Active(anon)", "Inactive(anon)"):
        assert ours[label] == pytest.approx(kernel[label], abs=room), label
    assert ours["pgdeactivate"] == pytest.approx(deactivated, abs=2 * room // 4)


@pytest.mark.parametrize(("name", "counts"), [("latest-7.2", True), ("quad-6.12", False)])
def test_with_lru_gen_it_stays_and_may_be_counted(name, counts):
    kernel, ours, deactivated = dropped(name)
    assert ours["Inactive(anon)"] == kernel["Inactive(anon)"] == 0
    assert (ours["pgdeactivate"] > 0, deactivated > 0) == (counts, counts)


def test_files_that_were_used_once_are_dropped_before_others():
    machine = small_machine((5, 10), nodes=1)
    machine.read_files(1000, 1, name="used-once")
    for _ in range(2):
        machine.read_files(500, 1, name="used-twice")
    node = machine.nodes[0]
    active = node.page_state(Item.NR_ACTIVE_FILE)
    assert active >= 500
    assert truncate.drop_file_pages(machine, 900) == 900
    assert node.page_state(Item.NR_ACTIVE_FILE) == active
    assert truncate.drop_file_pages(machine, 1000) >= 600
    assert node.page_state(Item.NR_ACTIVE_FILE) < active


@pytest.mark.parametrize(
    ("name", "step", "bits", "is_emptied"),
    [("quad-6.12", "25", "2", True), ("small-6.1", "27", "3", True), ("latest-7.2", "27", "3", False)],
)
def test_slabs_that_go_take_the_small_pages_of_the_cpu_along(name, step, bits, is_emptied):
    """Recorded: 1,581 pages became 60 and 1,392 became 145; 7.2 kept its 13,074."""
    steps = {path.name[:2]: path for path in recordings.steps(recordings.load(name))}
    tree = conformance.of(steps[step])
    tree.write("/proc/sys/vm/drop_caches", bits)
    zone = next(zone for zone in tree.machine.nodes[0].zones if zone.name == "DMA32")
    assert (zone.pageset.count(0) < 150) == is_emptied
