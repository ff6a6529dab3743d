"""What agrees with the recorded kernels may grow and never shrink: tests/recorded/floor.toml."""

from __future__ import annotations

import os

import pytest

from tests import recordings
from tests.conformance import AREAS
from tests.conformance.floor import FLOOR

CELLS = [(name, area) for name in FLOOR for area in FLOOR[name]]


@pytest.mark.parametrize(("name", "area"), CELLS, ids=[f"{name} {area}" for name, area in CELLS])
def test_agreement_does_not_fall(name: str, area: str) -> None:
    if area == "system calls" and os.getuid() != 0:
        pytest.skip("the rows of the ordinary user need root")

    agreement = AREAS[area](recordings.load(name))

    assert agreement.agreed >= FLOOR[name][area], "\n".join(map(str, agreement.disagreements[:20]))


def test_every_recording_has_a_floor() -> None:
    assert sorted(FLOOR) == recordings.names()
