"""Anonymous pages against files: what get_scan_count() of the kernel's sources says."""

import pytest

from tests.small_machine import NODE_PAGES, small_machine
from vmfs.mm import scan_count, vmscan
from vmfs.mm.check import check
from vmfs.mm.scan_control import DEF_PRIORITY, Reclaim, ScanControl
from vmfs.mm.scan_count import ScanBalance
from vmfs.mm.vmstat import Item

QUARTER = NODE_PAGES // 4


def machine_with(anon=QUARTER, inactive=QUARTER, active=0, swap=NODE_PAGES, swappiness=60, release=(6, 1)):
    """Idle anonymous pages that reclaim has looked at, and files that were read once or twice."""
    machine = small_machine(release, nodes=1)
    if swap:
        machine.swapon(swap, "/swap")
    machine.set_sysctl("swappiness", swappiness)
    machine.read_files(active, 10, name="twice")
    machine.read_files(active, 10, name="twice")
    machine.read_files(inactive, 10, name="once")
    if anon:
        machine.start("idle", anon=anon)
        for zone in machine.nodes[0].zones:
            for queue in zone.lru.lists:
                for batch in queue:
                    batch.accessed = False
    return machine


def scan_of(machine, priority=DEF_PRIORITY, **control):
    reclaim = Reclaim(machine, machine.nodes[0], ScanControl(machine.zone_index("Movable"), **control))
    return scan_count.get_scan_count(reclaim, priority)


def reclaimed(machine, pages):
    """Anonymous pages that were written to swap, and pages of files that went."""
    before = machine.event(Item.PSWPOUT), machine.global_page_state(Item.PGSTEAL_FILE)
    vmscan.shrink_node(machine, machine.nodes[0], ScanControl(machine.zone_index("Movable")), pages)
    check(machine)
    after = machine.event(Item.PSWPOUT), machine.global_page_state(Item.PGSTEAL_FILE)
    return [now - old for now, old in zip(after, before, strict=True)]


def test_without_swap_only_files_are_scanned():
    machine = machine_with(swap=0)
    assert scan_of(machine, 0).balance is ScanBalance.FILE
    assert reclaimed(machine, 1000) == [0, 1000]


def test_many_inactive_pages_of_files_are_trimmed_first():
    machine = machine_with(swappiness=200)
    assert scan_of(machine, 4).balance is ScanBalance.FILE
    assert reclaimed(machine, 1000) == [0, 1000]


@pytest.mark.parametrize("swappiness", [1, 60, 100, 133, 200])
def test_both_are_scanned_in_proportion_where_files_are_in_use(swappiness):
    machine = machine_with(inactive=QUARTER // 2, active=QUARTER, swappiness=swappiness)
    node = machine.nodes[0]
    node.anon_cost, node.file_cost = 300, 100
    scan = scan_of(machine, 4)
    assert scan.balance is ScanBalance.FRACT
    assert scan.deactivate[True]

    anon, file = swappiness * 1201 // 701, (200 - swappiness) * 1201 // 501
    for which, item in scan_count.ITEMS.items():
        part = file if scan_count.is_file(which) else anon
        assert scan.pages[which] == (node.page_state(item) >> 4) * part // (anon + file)


def test_swappiness_decides_what_is_reclaimed():
    parts = []
    for swappiness in (0, 30, 60, 100, 150, 200):
        machine = machine_with(inactive=QUARTER // 2, active=QUARTER, swappiness=swappiness)
        anon, file = reclaimed(machine, 1000)
        parts.append(anon / (anon + file))

    assert parts == sorted(set(parts))
    assert (parts[0], parts[-1]) == (0.0, 1.0)


def test_with_swappiness_0_anonymous_pages_go_only_when_files_are_too_few_to_help():
    machine = machine_with(inactive=0, swappiness=0)
    assert scan_of(machine, 4).balance is not ScanBalance.ANON
    for zone in machine.nodes[0].zones:
        zone.watermark_boost = zone.managed_pages
    assert scan_of(machine, 4).balance is ScanBalance.ANON


def test_close_to_an_oom_all_is_scanned():
    machine = machine_with(inactive=QUARTER // 2, active=QUARTER, swappiness=1)
    scan = scan_of(machine, 0)
    assert scan.balance is ScanBalance.EQUAL
    assert {
        which: machine.nodes[0].page_state(item) for which, item in scan_count.ITEMS.items()
    } == scan.pages


def test_writing_to_swap_costs_and_moves_reclaim_to_files():
    machine = machine_with(inactive=QUARTER // 2, active=QUARTER, swappiness=100)
    first, _ = reclaimed(machine, 1000)
    assert machine.nodes[0].anon_cost > machine.nodes[0].file_cost == 0
    second, _ = reclaimed(machine, 1000)
    assert second < first


@pytest.mark.parametrize("release", [(5, 10), (6, 1), (6, 12), (7, 2)])
@pytest.mark.parametrize("pages", [1, 31, 1000, 10**6])
def test_costs_are_at_most_a_quarter_of_the_lists(release, pages):
    machine = machine_with(release=release)
    node = machine.nodes[0]
    scan_count.lru_note_cost(machine, node, True, 50)
    before = node.file_cost
    scan_count.lru_note_cost(machine, node, False, pages)
    listed = sum(node.page_state(item) for item in scan_count.ITEMS.values())
    assert node.anon_cost + node.file_cost <= listed // 4
    assert node.file_cost <= before
    assert node.anon_cost > 0


@pytest.mark.parametrize(
    ("inactive", "active", "low"), [(100, 100, False), (99, 100, True), (1 << 17, 1 << 18, False)]
)
def test_few_inactive_pages_are_enough_where_there_are_many(inactive, active, low):
    """Below 1 GiB as many as active ones; the square root of 10 to 1 for 1 GiB."""
    machine = small_machine(nodes=1)
    node = machine.nodes[0]
    for item, pages in ((Item.NR_INACTIVE_FILE, inactive), (Item.NR_ACTIVE_FILE, active)):
        node.mod_state(item, pages - node.page_state(item))
    assert scan_count.inactive_is_low(node, file=True) is low
