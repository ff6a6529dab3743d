"""A node of CPUs alone, as a recorded kernel 6.1 showed it: it has pools of huge pages that stay empty."""

import pytest

from vmfs import spec
from vmfs.boot import boot
from vmfs.kernel import Feature
from vmfs.mm.machine import Machine
from vmfs.tree import Tree

NODE = "/sys/devices/system/node/node{}"
POOL = NODE + "/hugepages/hugepages-2048kB/nr_hugepages"


def tree(release) -> Tree:
    nodes = (
        spec.NodeSpec(512 << 20, (0,)),
        spec.NodeSpec(0, (1,)),
        spec.NodeSpec(1 << 30, (2, 3)),
        spec.NodeSpec(256 << 20),
    )
    plain = spec.load("tiny", kernel=release)
    return Tree(Machine.from_snapshot(boot(spec.Spec("box", plain.kernel, nodes, cpu=plain.cpu))))


@pytest.fixture(params=[(6, 1), (6, 12), (7, 2)])
def machine(request) -> Tree:
    return tree(request.param)


def pools(machine: Tree) -> list[str]:
    return [machine.read(POOL.format(nid)).strip() for nid in range(4)]


def test_its_pool_takes_a_write_and_stays_empty(machine):
    machine.write(POOL.format(1), "5")
    assert (pools(machine), machine.read("/proc/sys/vm/nr_hugepages")) == (["0"] * 4, "0\n")


def test_the_round_robin_leaves_it_out(machine):
    machine.write("/proc/sys/vm/nr_hugepages", "9")
    for count in ("5", "0"):
        machine.write(POOL.format(1), count)
        assert (pools(machine), machine.read("/proc/sys/vm/nr_hugepages")) == (["3", "0", "3", "3"], "9\n")


def test_nothing_can_be_demoted_there_but_the_write_is_taken(machine):
    folder = NODE.format(1) + "/hugepages/hugepages-1048576kB"
    machine.write(folder + "/nr_hugepages", "1")
    machine.write(folder + "/demote", "1")
    assert machine.read(folder + "/nr_hugepages") == "0\n"
    machine.write(NODE.format(1) + "/compact", "1")


def test_before_6_1_it_had_no_pools():
    old = tree((5, 10))
    assert not old.machine.kernel.has(Feature.HUGETLB_NODES_WITHOUT_MEMORY)
    assert "hugepages" not in old.listdir(NODE.format(1))
    assert "hugepages" in old.listdir(NODE.format(3))
