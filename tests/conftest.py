"""The longest tests first. Hypothesis does not measure time, and says how to repeat what it found."""

import pytest
from hypothesis import settings

settings.register_profile("vmfs", deadline=None, print_blob=True)
settings.load_profile("vmfs")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One process is busy with them while the others take all the rest."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
