"""Pressure: debts of time paid by the clock, averages as the kernel computes them, triggers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmfs import control, spec
from vmfs.mm import psi
from vmfs.mm.psi import CPU, FULL, IO, KSWAPD, MEMORY, PERIOD_NANOSECS, SOME, Psi, Stall
from vmfs.mm.psi_trigger import Trigger
from vmfs.mm.vmstat import Item
from vmfs.tree.boot import booted

SECOND = 1_000_000
NANO = 1_000_000_000


@pytest.fixture
def pressure():
    made = Psi(nr_cpus=2)
    made.stalls = {(name, kind): Stall() for name in psi.RESOURCES for kind in psi.KINDS}
    return made


def totals(pressure, resource):
    return tuple(pressure.stalls[resource, kind].total for kind in psi.KINDS)


def reference(samples):
    """update_averages() of kernel/sched/psi.c with floating point instead of 11 bits."""
    averages = [0.0, 0.0, 0.0]
    for share in samples:
        for i, seconds in enumerate((10, 60, 300)):
            decay = {10: 1677, 60: 1981, 300: 2034}[seconds] / 2048
            averages[i] = averages[i] * decay + share * 100 * (1 - decay)
    return averages


def test_a_debt_is_paid_by_the_clock(pressure):
    pressure.charge(0, 7, 3 * NANO, MEMORY)
    assert totals(pressure, MEMORY) == (0, 0)
    pressure.advance(SECOND)
    assert totals(pressure, MEMORY) == (NANO, NANO)
    pressure.advance(10 * SECOND)
    assert totals(pressure, MEMORY) == (3 * NANO, 3 * NANO)
    assert totals(pressure, IO) == (0, 0)


def test_of_four_that_work_one_waits_for_memory(pressure):
    """The example of psi.c: a quarter of the work is lost, and all of that by everybody."""
    pressure.nr_cpus = 4
    pressure.charge(0, 1, NANO, MEMORY)
    for who in (2, 3, 4):
        pressure.charge(0, who, NANO, CPU)
    pressure.advance(SECOND)

    assert totals(pressure, MEMORY) == (NANO // 4, NANO // 4)


def test_full_is_what_nobody_else_makes_up_for(pressure):
    """Two CPUs, one that waits, two that work: all the CPUs are busy."""
    pressure.charge(0, 1, NANO, MEMORY)
    for who in (2, 3):
        pressure.charge(0, who, NANO, CPU)
    pressure.advance(SECOND)

    assert totals(pressure, MEMORY) == (NANO // 2, 0)


def test_who_reads_makes_up_for_nobody(pressure):
    """Two wait for memory, for one and three seconds, a third reads for two; two CPUs."""
    pressure.charge(0, 1, 1 * NANO, MEMORY)
    pressure.charge(0, 2, 3 * NANO, MEMORY)
    pressure.charge(0, 3, 2 * NANO, IO)
    pressure.advance(10 * SECOND)

    assert totals(pressure, MEMORY) == (5 * NANO // 2, 5 * NANO // 2)  # both CPUs, one of two, the only one
    assert totals(pressure, IO) == (NANO, NANO)


def test_a_process_that_swaps_waits_for_both(pressure):
    pressure.charge(0, 1, NANO, MEMORY, IO)
    pressure.advance(10 * SECOND)
    assert totals(pressure, MEMORY) == totals(pressure, IO) == (NANO, NANO)


def test_more_work_than_cpus_is_pressure_and_never_full(pressure):
    """The example of psi.c: of 257 on 256 CPUs one waits, until the first 256 are done."""
    pressure.nr_cpus = 256
    for who in range(257):
        pressure.charge(0, who, NANO, CPU)
    pressure.advance(10 * SECOND)
    assert totals(pressure, CPU) == (NANO // 256, 0)


def test_who_waits_needs_no_cpu_meanwhile(pressure):
    pressure.charge(0, 1, NANO, MEMORY, CPU)
    pressure.advance(SECOND)
    assert pressure.owes(1) == NANO


@pytest.mark.parametrize("periods", [1, 2, 5, 30, 150])
def test_averages_rise_and_fall_as_the_kernels(pressure, periods):
    pressure.charge(0, 1, periods * PERIOD_NANOSECS, MEMORY)
    pressure.advance((periods + 4) * PERIOD_NANOSECS // 1000)
    expected = reference([1] * periods + [0] * 4)
    shown = [average / 100 for average in pressure.shown(MEMORY, SOME)[:3]]
    assert shown == pytest.approx(expected, abs=0.6)  # 11 bits, rounded up while they rise


def test_half_a_period_is_half_the_share(pressure):
    pressure.charge(0, 1, PERIOD_NANOSECS // 2, IO)
    pressure.advance(PERIOD_NANOSECS // 1000)
    assert pressure.shown(IO, SOME) == (905, 163, 34, PERIOD_NANOSECS // 2000)


def test_averages_of_a_capture_are_shown_as_captured():
    stall = Stall.of(12.34, 5.6, 0.01, 987654)
    assert stall.shown() == (1234, 560, 1, 987654)


@given(
    charges=st.lists(
        st.tuples(
            st.integers(0, 20_000_000),
            st.integers(1, 5),
            st.integers(1, 6 * NANO),
            st.sampled_from([(MEMORY,), (IO,), (MEMORY, IO), (CPU,)]),
        ),
        max_size=8,
    ),
    cuts=st.lists(st.integers(0, 60_000_000), max_size=10),
)
def test_how_time_is_cut_makes_no_difference(charges, cuts):
    def lived(cuts):
        made = Psi(nr_cpus=2)
        made.stalls = {(name, kind): Stall() for name in psi.RESOURCES for kind in psi.KINDS}
        made.triggers = [
            Trigger(MEMORY, SOME, NANO // 10, NANO, 0, 0),
            Trigger(IO, FULL, NANO, 2 * NANO, 0, 0, True),
        ]
        for moment, charge in sorted([(c[0], c) for c in charges] + [(cut, ()) for cut in cuts]):
            if charge:
                made.charge(moment, charge[1], charge[2], *charge[3])
            else:
                made.advance(moment)
        made.advance(60_000_000)
        fired = [(trigger.event, trigger.last_event) for trigger in made.triggers]
        return made.stalls, made.debts, fired

    assert lived(cuts) == lived([])


# -- triggers ----------------------------------------------------------------------------------


@pytest.fixture
def trigger(pressure):
    made = Trigger(MEMORY, SOME, threshold=150_000_000, window=NANO, start=0, start_total=0)
    pressure.triggers.append(made)
    return made


def test_a_trigger_fires_when_the_threshold_is_crossed_within_the_window(pressure, trigger):
    pressure.charge(0, 1, NANO, MEMORY)
    pressure.advance(100_000)
    assert not trigger.event
    pressure.advance(200_000)  # looked at ten times a window
    assert trigger.fetch()
    assert not trigger.fetch()


def test_it_fires_once_a_window_and_forgets_nothing(pressure, trigger):
    pressure.charge(0, 1, 900_000_000, MEMORY)
    fired = []
    for tenth in range(1, 31):
        pressure.advance(tenth * 100_000)
        if trigger.fetch():
            fired.append(tenth)
    assert fired == [2, 12]


def test_small_stalls_do_not_add_up_beyond_the_window(pressure, trigger):
    for second in range(20):
        pressure.charge(second * SECOND, 1, 60_000_000, MEMORY)
        pressure.advance((second + 1) * SECOND)
    assert not trigger.event


def test_without_privileges_it_is_looked_at_with_the_averages(pressure):
    slow = Trigger(MEMORY, SOME, 150_000_000, 2 * NANO, 0, 0, with_averages=True)
    pressure.triggers.append(slow)
    pressure.charge(0, 1, NANO, MEMORY)
    pressure.advance(2_003_999)
    assert not slow.event
    pressure.advance(2_004_000)
    assert slow.fetch()


# -- what stalls -------------------------------------------------------------------------------


@pytest.fixture
def tree():
    made = booted(spec.load("article"))
    made.write("/proc/sys/vm/overcommit_memory", "1\n")
    return made


def owed(tree, resource):
    return {who: debt / NANO for who, debt in tree.machine.psi.debts[resource].items()}


def test_reading_waits_for_the_disk(tree):
    control.run(tree, "read 1G")
    assert owed(tree, MEMORY) == {}
    assert sum(owed(tree, IO).values()) == pytest.approx(2.1, rel=0.01)  # 500 MB/s


def test_swapping_out_stalls_who_wants_memory(tree):
    control.run(tree, "swapon 16G")
    control.run(tree, "start first anon=80%")
    control.run(tree, "start second anon=40%")
    waiting = owed(tree, MEMORY)

    assert set(waiting) <= {1402, KSWAPD}
    swapped = tree.machine.event(Item.PSWPOUT)
    assert sum(waiting.values()) == pytest.approx(swapped * 8.5e-6, rel=0.01)


def test_a_quiet_machine_has_no_pressure_and_pays_nothing_for_it(tree):
    before = tree.read("/proc/pressure/memory")
    control.run(tree, "advance 86400")
    assert tree.read("/proc/pressure/memory") == before
    assert tree.machine.psi.now == tree.machine.clock.microsecs * 1000
