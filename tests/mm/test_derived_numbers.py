"""Watermarks, reserves, per-cpu list limits, thresholds and limits equal what seven kernels printed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests import recordings
from tests.mm import recorded_machine as recorded
from vmfs.kernel import Feature
from vmfs.mm import wmark
from vmfs.mm.page_writeback import global_dirty_limits
from vmfs.mm.show_mem import si_mem_available
from vmfs.mm.util import commit_limit
from vmfs.mm.vmstat import Item
from vmfs.mm.vmstat_threshold import (
    calculate_normal_threshold,
    calculate_pressure_threshold,
    refresh_zone_stat_thresholds,
)
from vmfs.mm.wmark_restore import restore

STEPS = [
    pytest.param(step, id=f"{name}/{step.name}")
    for name in recordings.names()
    for step in recordings.steps(recordings.load(name))
]
AFTER_BOOT = [p for p in STEPS if p.values[0].name != "00-boot"]
AT_BOOT = [p for p in STEPS if p.values[0].name == "00-boot"]
KSWAPD_AWAKE = {("small-6.1", "36-nr_hugepages_max"), ("highmem-i386-6.1", "36-nr_hugepages_max")}
SETS_UP = ("min_free_kbytes", "watermark_scale_factor", "lowmem_reserve_ratio")


def set_up(machine):
    wmark.setup_empty_zones(machine)
    wmark.setup_per_zone_wmarks(machine)
    wmark.setup_per_zone_lowmem_reserve(machine)
    refresh_zone_stat_thresholds(machine)
    return machine


def printed(zones):
    return {
        (z.nid, z.name): (z.pages["min"], z.pages["low"], z.pages["high"], tuple(z.protection)) for z in zones
    }


def shown(machine):
    """As zoneinfo would print it."""
    return {
        (z.nid, z.name): (
            wmark.min_wmark_pages(z),
            wmark.low_wmark_pages(z),
            wmark.high_wmark_pages(z),
            z.lowmem_reserve,
        )
        for _, z in machine.zones()
    }


def restored(step):
    machine = recorded.machine_at(step)
    machine.counts = recorded.memory_counts(step)
    available = recorded.pages(recorded.meminfo(step)["MemAvailable"])
    restore(machine, SimpleNamespace(nodes=recorded.node_states(step), mem_available=available))
    return machine


@pytest.mark.parametrize("step", AFTER_BOOT)
def test_watermarks_and_protections_follow_from_managed_pages(step):
    machine = set_up(recorded.machine_at(step))
    for (_, zone), (_, captured) in zip(machine.zones(), restored(step).zones(), strict=True):
        zone.watermark_boost = captured.watermark_boost
        assert zone.watermark_boost % 512 == 0
    assert shown(machine) == printed(recorded.zone_texts(step))


@pytest.mark.parametrize("step", AFTER_BOOT)
def test_promo_watermarks(step):
    zones = recorded.zone_texts(step)
    machine = set_up(recorded.machine_at(step))
    for (_, zone), read in zip(machine.zones(), zones, strict=True):
        if "promo" in read.pages:
            zone.watermark_boost = read.pages["boost"]
            assert wmark.promo_wmark_pages(zone) == read.pages["promo"]


@pytest.mark.parametrize("step", AFTER_BOOT)
def test_pageset_limits_follow_from_watermarks_or_the_fraction(step):
    machine = set_up(recorded.machine_at(step))
    for (_, zone), read in zip(machine.zones(), recorded.zone_texts(step), strict=True):
        for pcp in read.pagesets.values():
            assert pcp["batch"] == zone.pageset_batch
            if not machine.kernel.has(Feature.PCP_HIGH_AUTO):
                assert pcp["high"] == zone.pageset_high_min == zone.pageset_high_max
            if "high_min" in pcp:
                assert (pcp["high_min"], pcp["high_max"]) == (zone.pageset_high_min, zone.pageset_high_max)


@pytest.mark.parametrize("step", STEPS)
def test_statistics_thresholds(step):
    machine = set_up(recorded.machine_at(step))
    for (_, zone), read in zip(machine.zones(), recorded.zone_texts(step), strict=True):
        if read.thresholds:
            awake = (step.parent.name, step.name) in KSWAPD_AWAKE
            rule = calculate_pressure_threshold if awake else calculate_normal_threshold
            assert set(read.thresholds.values()) == {rule(machine, zone)}


@pytest.mark.parametrize("step", STEPS)
def test_a_captured_machine_keeps_the_stored_numbers(step):
    machine = restored(step)
    zones = recorded.zone_texts(step)
    assert shown(machine) == printed(zones)
    for (_, zone), read in zip(machine.zones(), zones, strict=True):
        if "promo" in read.pages:
            assert wmark.promo_wmark_pages(zone) == read.pages["promo"]
        for pcp in read.pagesets.values():
            assert pcp["batch"] == zone.pageset_batch
            if not machine.kernel.has(Feature.PCP_HIGH_AUTO):
                assert pcp["high"] == zone.pageset_high_min
    assert si_mem_available(machine) == recorded.pages(recorded.meminfo(step)["MemAvailable"])


@pytest.mark.parametrize("step", AT_BOOT)
def test_boot_leaves_watermarks_of_the_pages_managed_before_init_memory_was_freed(step):
    assert shown(set_up(recorded.machine_at(step))) != printed(recorded.zone_texts(step))


@pytest.mark.parametrize("name", recordings.names())
def test_mem_available_with_the_reserve_of_the_last_set_up(name):
    machine = None
    for step in recordings.steps(recordings.load(name)):
        before, machine = machine, recorded.machine_at(step)
        machine.counts = recorded.memory_counts(step)
        restore(machine, SimpleNamespace(nodes=recorded.node_states(step), mem_available=None))
        paths = {str(getattr(action, "path", "")) for action in recordings.actions(step)}
        if before and not any(path.endswith(SETS_UP) for path in paths):
            for node, old in zip(machine.nodes, before.nodes, strict=True):
                node.totalreserve_pages = old.totalreserve_pages
        available = recorded.pages(recorded.meminfo(step)["MemAvailable"])
        assert si_mem_available(machine) == available, step.name
        # Whoever recorded the step read lowmem_reserve_ratio, which sums the reserve anew.
        wmark.calculate_totalreserve_pages(machine)


@pytest.mark.parametrize("step", STEPS)
def test_dirty_thresholds(step):
    counts = recorded.vmstat(step)
    machine = restored(step)
    machine.counts = {item: counts[item.text] for item in (Item.NR_ACTIVE_FILE, Item.NR_INACTIVE_FILE)}
    machine.counts[Item.NR_FREE_PAGES] = counts["nr_free_pages"]
    for _, zone in machine.zones():
        if zone.is_highmem:  # zoneinfo was read later than vmstat; low memory hardly moved
            low = sum(z.free_pages for _, z in machine.zones() if not z.is_highmem)
            zone.free_area.nr_free_pages = counts["nr_free_pages"] - low
    assert global_dirty_limits(machine) == (
        counts["nr_dirty_background_threshold"],
        counts["nr_dirty_threshold"],
    )


@pytest.mark.parametrize("step", STEPS)
def test_commit_limit(step):
    fields = recorded.meminfo(step)
    machine = recorded.machine_at(step)
    machine.totalram_pages = recorded.pages(fields["MemTotal"])
    machine.hstates = [SimpleNamespace(nr_huge_pages=recorded.pages(fields["Hugetlb"]), order=0)]
    machine.swap_areas = [SimpleNamespace(pages=recorded.pages(fields["SwapTotal"]))]
    assert commit_limit(machine) == recorded.pages(fields["CommitLimit"])


def min_free_kbytes_at_boot(machine):
    machine.sysctl.min_free_kbytes = 1024
    wmark.calculate_min_free_kbytes(machine)
    set_up(machine)
    wmark.set_recommended_min_free_kbytes(machine, thp_enabled=True)
    return machine.sysctl.min_free_kbytes


@pytest.mark.parametrize("step", AT_BOOT)
def test_min_free_kbytes_at_boot(step):
    kbytes = recorded.number(step, "proc/sys/vm/min_free_kbytes")
    least = recorded.machine_at(step)
    normal = next(z for _, z in least.zones() if z.name == "Normal")
    if step.parent.name == "highmem-i386-6.1":  # 5 % of what Normal managed then: 822 * 256 pages and a rest
        normal.managed_pages = 822 * 256
        lower = min_free_kbytes_at_boot(least)
        assert lower <= kbytes <= lower + 255 // 20 * 4 + 4
    else:
        assert min_free_kbytes_at_boot(least) == kbytes


def test_disabling_huge_pages_lowers_min_free_kbytes_but_not_below_what_was_asked_for():
    step = recordings.steps(recordings.load("article-6.1"))[0]
    machine = set_up(recorded.machine_at(step))
    wmark.set_recommended_min_free_kbytes(machine, thp_enabled=False)
    lowmem = sum(z.managed_pages for _, z in machine.zones()) * 4
    assert 0.98 * (lowmem * 16) ** 0.5 < machine.sysctl.min_free_kbytes < (lowmem * 16) ** 0.5
    machine.sysctl.min_free_kbytes = machine.sysctl.user_min_free_kbytes = 80000
    wmark.set_recommended_min_free_kbytes(machine, thp_enabled=False)
    assert machine.sysctl.min_free_kbytes == 80000


@pytest.mark.parametrize("name", recordings.names())
def test_a_written_min_free_kbytes_is_told_from_the_kernels_own(name):
    booted, written = recordings.steps(recordings.load(name))[:2]
    assert not wmark.is_min_free_kbytes_of_users(recorded.machine_at(booted))
    assert wmark.is_min_free_kbytes_of_users(recorded.machine_at(written))
