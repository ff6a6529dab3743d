"""/dev: there, and empty."""

from __future__ import annotations

from vmfs.views.entry import top

DIRS = (top("/dev"),)
