"""Nodes that have CPUs but no memory, or none that the kernel may use: their work is done elsewhere."""

from errno import EINVAL

import pytest

from vmfs import boot, control, spec
from vmfs.mm import oom_kill
from vmfs.mm.check import check
from vmfs.mm.machine import Machine
from vmfs.mm.vmstat import Item
from vmfs.tree import Tree

TOML = """
[[node]]
memory = "1G"
cpus = "0-1"

[[node]]
memory = "{memory}"
cpus = "2-3"
movable = {movable}
"""


@pytest.fixture(params=[("0", "false"), ("1G", "true")], ids=["memoryless", "movable"])
def path(request, tmp_path):
    memory, movable = request.param
    path = tmp_path / "machine.toml"
    path.write_text(TOML.format(memory=memory, movable=movable))
    return path


@pytest.mark.parametrize("release", ["5.10", "6.12"])
def test_page_tables_are_counted_where_kernel_pages_come_from(path, release):
    machine = Machine.from_snapshot(boot.boot(spec.load(str(path), kernel=release)))
    item = Item.NR_ZONE_PAGE_TABLE_PAGES if release == "5.10" else Item.NR_PAGE_TABLE_PAGES
    before = [node.page_state(item) for node in machine.nodes]
    stacks = machine.global_page_state(Item.NR_KERNEL_STACK)
    task = machine.start("task", anon=50_000, nid=1)
    first, second = (node.page_state(item) for node in machine.nodes)

    assert first - before[0] > 50_000 // 512
    assert second == before[1]
    assert machine.nodes[0].page_state(Item.NR_KERNEL_STACK) - stacks == 16
    check(machine)
    machine.stop(task)
    assert [node.page_state(item) for node in machine.nodes] == before


@pytest.mark.parametrize("policy", ["bind", "preferred"])
def test_no_policy_can_be_of_a_node_without_memory(policy, tmp_path):
    path = tmp_path / "machine.toml"
    path.write_text(TOML.format(memory="0", movable="false"))
    tree = Tree(Machine.from_snapshot(boot.boot(spec.load(str(path)))))
    with pytest.raises(OSError, match="node 1 has no memory") as refused:
        control.run(tree, f"start task anon=100M node=1 policy={policy}")

    assert refused.value.errno == EINVAL
    assert tree.machine.event(Item.OOM_KILL) == 0
    assert not tree.machine.tasks


def test_the_killer_that_finds_nobody_left_does_nothing():
    machine = Machine.from_snapshot(boot.boot(spec.load("tiny")))
    oom_kill.starve(machine)
    assert machine.event(Item.OOM_KILL) == 0
