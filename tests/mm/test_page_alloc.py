"""What an allocation takes from where, and how often it asks."""

from tests.small_machine import NODE_PAGES, small_machine
from vmfs.mm import rmqueue, wmark
from vmfs.mm.check import check
from vmfs.mm.mmzone import MigrateType


def normal(machine):
    return next(zone for _, zone in machine.zones() if zone.name == "Normal")


def test_pages_on_a_per_cpu_list_are_taken_in_one_go(monkeypatch):
    machine = small_machine(nodes=1, min_free_kbytes=16384)
    machine.set_sysctl("min_free_kbytes", 16384)
    zone, cpu = normal(machine), machine.cpu_of(0)
    machine.read_files(zone.free_pages - wmark.low_wmark_pages(zone) - 1)
    movable = MigrateType.MOVABLE
    zone.pageset.put(cpu, zone.free_area.alloc(0, 1000, movable)[0], movable)
    zone.watermark = zone.watermark._replace(min=zone.free_pages - 1, low=zone.free_pages - 1)
    held = zone.pageset.held(cpu, movable)
    asked = []
    real = rmqueue.rmqueue
    monkeypatch.setattr(rmqueue, "rmqueue", lambda *args: asked.append(args) or real(*args))
    machine.read_files(held)

    assert held >= 1000
    assert len(asked) < 10
    assert zone.pageset.held(cpu, movable) < held // 4
    check(machine)


def test_the_next_node_is_asked_at_the_low_watermark():
    machine = small_machine(nodes=2)
    machine.set_sysctl("min_free_kbytes", 16384)
    near, far = (z for _, z in machine.zones() if z.name == "Normal")
    machine.start("local", anon=NODE_PAGES)

    assert near.free_pages <= wmark.low_wmark_pages(near)
    assert far.free_pages < NODE_PAGES
    assert near.free_pages > wmark.min_wmark_pages(near)
