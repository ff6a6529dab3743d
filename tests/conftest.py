"""The longest tests first, shared out. Hypothesis measures no time, and says how to repeat what it found."""

import os

import pytest
from hypothesis import settings

settings.register_profile("vmfs", deadline=None, print_blob=True)
settings.load_profile("vmfs")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each process gets a part of the list, in order: it begins with its share of the longest."""
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    slow = [item for item in items if item.get_closest_marker("slow")]
    rest = [item for item in items if not item.get_closest_marker("slow")]
    ends = [len(rest) * index // processes for index in range(processes + 1)]
    items[:] = [
        item
        for index in range(processes)
        for item in (*slow[index::processes], *rest[ends[index] : ends[index + 1]])
    ]
