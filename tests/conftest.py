"""Hypothesis does not measure time, and says how to repeat what it found."""

from hypothesis import settings

settings.register_profile("vmfs", deadline=None, print_blob=True)
settings.load_profile("vmfs")
