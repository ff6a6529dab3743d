"""Overcommit and per-node dirty limits, by the formulas of mm/util.c and mm/page-writeback.c."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests import recordings
from tests.mm import recorded_machine as recorded
from vmfs.kernel import Arch, Kernel
from vmfs.mm.page_writeback import global_dirtyable_memory
from vmfs.mm.sysctl import Sysctl
from vmfs.mm.util import commit_limit, vm_enough_memory
from vmfs.mm.vmstat import Item
from vmfs.mm.wmark import calculate_totalreserve_pages, setup_per_zone_wmarks


def overcommitting(arch=Arch.X86_64, **sysctls):
    return SimpleNamespace(
        kernel=Kernel.of((6, 12), arch),
        sysctl=Sysctl(**{"overcommit_memory": 2, **sysctls}),
        totalram_pages=1000000,
        hstates=[SimpleNamespace(nr_huge_pages=100, order=9)],
        swap_areas=[SimpleNamespace(pages=5000)],
        committed_as=0,
    )


def test_commit_limit_leaves_huge_pages_out_and_counts_swap():
    assert commit_limit(overcommitting()) == (1000000 - 51200) // 2 + 5000
    assert commit_limit(overcommitting(overcommit_kbytes=40000)) == 10000 + 5000


@pytest.mark.parametrize(("arch", "bits"), [(Arch.X86_64, 64), (Arch.I386, 32)])
def test_a_negative_ratio_wraps_as_unsigned_long(arch, bits):
    limit = commit_limit(overcommitting(arch, overcommit_ratio=-1))
    assert limit == (2**bits - 948800) // 100 + 5000


def test_overcommit_policies():
    machine = overcommitting(overcommit_memory=0)
    ask = {"total_vm": 0, "cap_sys_admin": True}
    assert vm_enough_memory(machine, 1005000, **ask)
    assert not vm_enough_memory(machine, 1005001, **ask)
    machine.sysctl.overcommit_memory = 1
    assert vm_enough_memory(machine, 10**12, **ask)


def test_strict_overcommit_keeps_something_for_root_and_for_the_user():
    machine = overcommitting()
    limit = commit_limit(machine)
    machine.committed_as = limit - 1
    assert vm_enough_memory(machine, 1, total_vm=0, cap_sys_admin=True)
    machine.committed_as = limit
    assert not vm_enough_memory(machine, 1, total_vm=0, cap_sys_admin=True)
    machine.committed_as = limit - 8192 // 4 - 1
    assert vm_enough_memory(machine, 1, total_vm=0, cap_sys_admin=False)
    assert not vm_enough_memory(machine, 1, total_vm=64, cap_sys_admin=False)
    machine.committed_as = limit - 131072 // 4 - 1
    assert vm_enough_memory(machine, 1, total_vm=10**9, cap_sys_admin=True)


@pytest.fixture
def two_nodes():
    step = recordings.steps(recordings.load("article-6.1"))[1]
    machine = recorded.machine_at(step)
    setup_per_zone_wmarks(machine)
    calculate_totalreserve_pages(machine)
    machine.counts = {Item.NR_FREE_PAGES: sum(z.free_pages for _, z in machine.zones())}
    machine.counts |= {Item.NR_ACTIVE_FILE: 0, Item.NR_INACTIVE_FILE: 0}
    return machine


def test_memory_that_could_be_dirty_is_what_no_reserve_needs(two_nodes):
    memory = [
        sum(zone.free_pages for zone in node.zones) - node.totalreserve_pages for node in two_nodes.nodes
    ]
    assert global_dirtyable_memory(two_nodes) == sum(memory) + 1
