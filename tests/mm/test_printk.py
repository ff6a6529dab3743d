"""The kernel's log: its ring, and what settings and verbs say in it."""

from __future__ import annotations

import os
import re
from contextlib import suppress

import pytest

from tests import recordings
from tests.conformance.machine import of
from vmfs import control, spec
from vmfs.mm.printk import LOG_BUF_BYTES, SECOND, Level, Log, Ratelimit
from vmfs.tree.boot import booted

VM = "/proc/sys/vm"


@pytest.fixture
def tree():
    made = booted(spec.load("article", kernel="6.1"))
    made.machine.log.records.clear()
    return made


def said(tree):
    return [record.text for record in tree.machine.log.records]


def test_records_are_numbered_and_the_oldest_make_room():
    log = Log()
    for number in range(5000):
        log.emit(Level.INFO, f"line {number}", number)

    assert log.next_sequence == 5000
    assert len(log.records) == log.size_bytes // 32 == 4096
    assert log.first_sequence == log.records[0].sequence == 904
    assert log.record(904).text == "line 904"
    assert log.record(903) is None
    assert log.record(5000) is None


def test_long_records_fill_the_ring_before_there_are_many():
    log = Log()
    for _ in range(200):
        log.emit(Level.INFO, "x" * 5000, 0)

    assert {len(record.text) for record in log.records} == {1024}
    assert len(log.records) == LOG_BUF_BYTES // (1024 + 8)


def test_many_cpus_have_a_larger_ring():
    assert Log.of(17).size_bytes == LOG_BUF_BYTES
    assert Log.of(128).size_bytes == 1 << 20


def test_a_ratelimit_lets_a_burst_pass_and_counts_the_rest():
    limit = Ratelimit(5 * SECOND, 10)
    assert sum(limit.allows(now) for now in range(25)) == 10
    assert limit.callbacks_suppressed(SECOND) == 0
    assert limit.callbacks_suppressed(6 * SECOND) == 15
    assert limit.allows(6 * SECOND)
    assert limit.callbacks_suppressed(20 * SECOND) == 0


def test_drop_caches_is_told_until_a_4_silences_it(tree):
    for value in ("1", "2", "3", "4", "3"):
        tree.write(f"{VM}/drop_caches", value)

    assert said(tree) == [f"init (1): drop_caches: {value}" for value in (1, 2, 3, 4)]


def test_a_write_without_a_number_tells_of_0(tree):
    """As big-256g-6.12 recorded it."""
    tree.open(f"{VM}/drop_caches", os.O_WRONLY).write(b"", 0)
    assert said(tree) == ["init (1): drop_caches: 0"]


def test_numa_stat_tells_of_changes_alone(tree):
    for value in ("1", "0", "0", "1"):
        tree.write(f"{VM}/numa_stat", value)

    assert said(tree) == ["disable numa statistics, and clear numa counters", "enable numa statistics"]


def test_the_administrators_min_free_kbytes_is_preferred_or_raised(tree):
    thp = "/sys/kernel/mm/transparent_hugepage/enabled"
    tree.write(f"{VM}/min_free_kbytes", "40000")
    tree.write(thp, "always")
    tree.write(thp, "never")

    raised, kept = said(tree)
    assert raised == (
        "khugepaged: raising min_free_kbytes from 40000 to 90112 to help transparent hugepage allocations"
    )
    assert kept.startswith("min_free_kbytes is not updated to ")
    assert kept.endswith("because user defined value 40000 is preferred")


def test_an_unknown_zonelist_order_is_told_as_written(tree):
    with pytest.raises(OSError, match="Invalid"):
        tree.write(f"{VM}/numa_zonelist_order", "zone\n")
    assert said(tree) == ["Ignoring unsupported numa_zonelist_order value:  zone\n"]


def test_a_write_behind_the_start_is_warned_of_once(tree):
    tree.write("/proc/sys/kernel/sysctl_writes_strict", "0")
    for _ in range(2):
        tree.open(f"{VM}/swappiness", os.O_WRONLY).write(b"10", 3)

    assert [text.split("\n")[0] for text in said(tree)] == [
        "init wrote to swappiness when file position was not 0!"
    ]


@pytest.mark.parametrize(
    ("release", "flags"), [("5.10", "SSFS"), ("6.1", "SSFS"), ("6.12", "SS"), ("7.2", "SS")]
)
def test_swap_areas_are_told_when_they_come(release, flags):
    tree = booted(spec.load("article", kernel=release))
    control.run(tree, "swapon 1G name=/dev/vdb priority=5")
    told = f"Adding 1048572k swap on /dev/vdb.  Priority:5 extents:1 across:1048572k {flags}"

    assert said(tree)[-1] == told


@pytest.mark.parametrize("name", ["small-6.1", "server-5.10", "latest-7.2"])
def test_single_writes_are_told_as_recorded(name):
    """The recorder wrote its table of values, putting back what had changed, and then dumped the log."""
    recording = recordings.load(name)
    dumped = (recording / "dmesg-end.txt").read_text().partition("Killed process")[2].splitlines()[1:]
    kernel = [line.partition("] ")[2] for line in dumped]
    tree = of(recordings.steps(recording)[-1])
    assert not tree.machine.log.records
    for row in recordings.writes_table(recording):
        changed = row.before is not None and row.after != row.before
        for payload in [row.write.payload, *([row.before.encode()] if changed else [])]:
            with suppress(OSError):
                tree.open(row.write.path, os.O_WRONLY).write(payload, 0)

    ours = [re.sub(r"^init\b", "probe", line) for text in said(tree) for line in text.split("\n")]
    masked = [re.sub(r"\(\d+\)", "(1)", line) for line in kernel if "oom_reaper" not in line]
    assert ours == masked
