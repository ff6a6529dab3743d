"""Batches on the lists of reclaim: few, however often a task asks."""

from tests.small_machine import small_machine
from vmfs.mm import compaction
from vmfs.mm.check import check
from vmfs.mm.extents import Extents


def normal(machine):
    return next(zone for _, zone in machine.zones() if zone.name == "Normal")


def batches(machine):
    return [batch for queue in normal(machine).lru.lists for batch in queue]


def test_what_comes_in_small_portions_is_one_batch():
    machine = small_machine(nodes=1)
    for _ in range(500):
        machine.read_files(3, files=0)
    assert len(batches(machine)) < 20
    check(machine)


def test_what_is_dirty_stays_apart():
    machine = small_machine(nodes=1)
    machine.set_sysctl("dirty_background_ratio", 90)
    machine.set_sysctl("dirty_ratio", 95)
    machine.read_files(10)
    machine.write_files(10)
    machine.read_files(10)

    file = [batch.dirty for batch in batches(machine) if batch.use.name == "FILE"]
    assert sum(file) == 10
    check(machine)


def test_compaction_looks_only_at_batches_that_move(monkeypatch):
    machine = small_machine(nodes=1)
    tasks = [machine.start("task", anon=100) for _ in range(200)]
    for task in tasks[::50]:
        machine.stop(task)
    looked = []
    real = Extents.minus
    monkeypatch.setattr(Extents, "minus", lambda self, other: looked.append(self) or real(self, other))
    compaction.compact_zone(machine, normal(machine), whole=True)

    assert 0 < len(looked) < 60
    check(machine)
