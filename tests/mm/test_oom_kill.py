"""Who dies, and what is left of it."""

import pytest

from vmfs import boot, spec
from vmfs.mm import kernel_pages
from vmfs.mm.alloc_request import OutOfMemory
from vmfs.mm.check import check
from vmfs.mm.machine import Machine


def test_a_task_killed_for_its_own_page_tables_gets_none():
    machine = Machine.from_snapshot(boot.boot(spec.load("tiny")))
    machine.start("hog", anon=machine.free_pages - 3000, mlock=True, oom_score_adj=-1000)
    task = machine.start("task", anon=500)
    with pytest.raises(OutOfMemory):
        kernel_pages.alloc_other(machine, task.nid, 5000, task)

    assert [task.name for task in machine.tasks.values()] == ["hog"]
    assert machine.free_pages > 2000
    check(machine)
