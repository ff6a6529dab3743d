"""One capture while it is read: its files, and what has to be said about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from vmfs.capture.parse_hardware import parse_mounts
from vmfs.capture.source import Source
from vmfs.capture.text import Text

T = TypeVar("T")

_OVERLAYS = ("lxcfs", "sysboxfs")
"""File systems that put a container's own view over the kernel's files."""


@dataclass(slots=True)
class Capture:
    """`warnings` is one line each: what was missing and what stands for it, what was left out."""

    source: Source
    warnings: list[str] = field(default_factory=list)
    masked: dict[str, str] = field(default_factory=dict)

    def warn(self, path: str, words: str) -> None:
        self.warnings.append(f"{path}: {words}")

    def text(self, path: str) -> Text | None:
        """A file, unless it is missing, empty, or not the kernel's."""
        parts = path.split("/")
        if any("/".join(parts[:n]) in self.masked for n in range(1, len(parts) + 1)):
            return None
        return self.source.text(path)

    def parse(self, path: str, parser: Callable[[Text], T]) -> T | None:
        """What the file says, or None."""
        text = self.text(path)
        return None if text is None else parser(text)

    def need(self, path: str, parser: Callable[[Text], T], instead: str) -> T | None:
        """The same, saying what stands for a file that is missing."""
        found = self.parse(path, parser)
        if found is None:
            overlay = self.masked.get(path)
            what = f"shows a container's view ({overlay}) and is left out" if overlay else "missing"
            self.warn(path, f"{what}; {instead}")
        return found

    def find_overlays(self) -> None:
        """Notes the files that the captured mount table says were a container's, not the kernel's."""
        for device, place, kind, *_ in self.parse("proc/mounts", parse_mounts) or ():
            overlay = next((name for name in _OVERLAYS if name in device or name in kind), "")
            if overlay and place.startswith(("/proc/", "/sys/")):
                self.masked[place.lstrip("/")] = overlay
