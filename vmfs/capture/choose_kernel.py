"""Which kernel a capture is of: the release proc/version names, with the features its files show."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from vmfs.capture.context import Capture
from vmfs.capture.parse_zoneinfo import ZoneText
from vmfs.capture.text import CaptureError
from vmfs.kernel import RELEASES, Arch, Feature, Kernel, Release, nearest, release_of
from vmfs.mm.vmstat import Item, Scope, items

_VERSION = re.compile(r"Linux version (\d{1,3}\.\d{1,3}\S*) ")
_DEFAULT: Release = (6, 12)


def _has_high_min(zone: ZoneText) -> bool:
    return any("high_min" in pageset for pageset in zone.pagesets.values())


_SEEN: dict[Feature, Callable[[ZoneText], bool]] = {
    Feature.ZONEINFO_BOOST: lambda zone: "boost" in zone.pages,
    Feature.ZONEINFO_PROMO: lambda zone: "promo" in zone.pages,
    Feature.ZONEINFO_CMA: lambda zone: "cma" in zone.pages,
    Feature.ZONEINFO_HIGHATOMIC: lambda zone: "reserved_highatomic" in zone.tail,
    Feature.ZONEINFO_PAGESET_NARROW: lambda zone: not _has_high_min(zone),
    Feature.ZONEINFO_PAGESET_HIGH_MIN_MAX: _has_high_min,
}
"""Lines of zoneinfo that tell a feature by themselves."""


def choose_kernel(
    capture: Capture, asked: str | None, zones: list[ZoneText], vmstat: dict[str, int]
) -> Kernel:
    """The kernel asked for; else the captured one, as near as it is known. Raises CaptureError."""
    arch = _arch(capture, zones)
    if asked is not None:
        release = release_of(asked)
        if release not in RELEASES:
            known = ", ".join(f"{major}.{minor}" for major, minor in RELEASES)
            raise CaptureError(f"--kernel {asked}", 0, f"unknown release; known: {known}")
        return _as_built(Kernel.of(release, arch), capture)
    kernel = Kernel.of(_release(capture, arch, vmstat), arch)
    return _as_built(_as_seen(kernel, zones, vmstat), capture)


def _release(capture: Capture, arch: Arch, vmstat: dict[str, int]) -> Release:
    text = capture.text("proc/version")
    if text is None:
        guess = _by_counters(arch, vmstat) if vmstat else _DEFAULT
        capture.warn("proc/version", f"missing; taken for {_named(guess)}")
        return guess
    found = _VERSION.match(text.only())
    release = release_of(found[1]) if found else None
    if release is None:
        raise text.error(1, "expected 'Linux version MAJOR.MINOR...'")
    if release not in RELEASES:
        near = _named(nearest(release))
        capture.warn("proc/version", f"{_named(release)} is taken for {near}, the nearest known release")
    return nearest(release)


def _by_counters(arch: Arch, vmstat: dict[str, int]) -> Release:
    # The release whose counters are the fewest away from the captured ones.
    def away(release: Release) -> int:
        return len({item.text for item in items(Kernel.of(release, arch), *Scope)} ^ vmstat.keys())

    return min(RELEASES, key=away)


def _named(release: Release) -> str:
    return f"{release[0]}.{release[1]}"


def _arch(capture: Capture, zones: list[ZoneText]) -> Arch:
    names = {zone.name for zone in zones}
    if names:
        return Arch.I386 if "HighMem" in names else Arch.X86_64
    return Arch.I386 if _meminfo_has(capture, "HighTotal:") else Arch.X86_64


def _meminfo_has(capture: Capture, label: str) -> bool:
    text = capture.text("proc/meminfo")
    return text is not None and any(line.startswith(label) for line in text.lines)


def _as_built(kernel: Kernel, capture: Capture) -> Kernel:
    # PAE shows in the size of the large pages that map the kernel's own memory.
    if kernel.arch is Arch.I386 and _meminfo_has(capture, "DirectMap2M:"):
        return replace(kernel, features=kernel.features | {Feature.PAE})
    return kernel


def _as_seen(kernel: Kernel, zones: list[ZoneText], vmstat: dict[str, int]) -> Kernel:
    # A distribution's options and backports show in which counters there are: a feature none of whose
    # counters is printed is off, one that has all of them printed is on.
    features = set(kernel.features)
    shown = _shown(zones, vmstat)
    for feature, counters in _counters(kernel.arch).items():
        seen = [item.text in shown[item.scope] for item in counters if item.scope in shown]
        if seen and all(seen):
            features.add(feature)
        elif seen and not any(seen):
            features.discard(feature)
    if zones:
        features -= {Feature.ZONE_DEVICE} if all(zone.name != "Device" for zone in zones) else set()
    if populated := next((zone for zone in zones if zone.pages["present"]), None):
        features -= _SEEN.keys()
        features |= {feature for feature, seen_in in _SEEN.items() if seen_in(populated)}
    return Kernel(kernel.release, kernel.arch, frozenset(features))


def _counters(arch: Arch) -> dict[Feature, list[Item]]:
    rows: dict[Feature, list[Item]] = {}
    for item in Item:
        if item.needs is not Feature.BASE and item.needs.arch in (None, arch):
            rows.setdefault(item.needs, []).append(item)
    return rows


def _shown(zones: list[ZoneText], vmstat: dict[str, int]) -> dict[Scope, set[str]]:
    # Only the scopes that a file tells about; a name may be a node's counter or an event.
    shown: dict[Scope, set[str]] = {}
    own: set[str] = set()
    if zones:
        shown[Scope.ZONE] = shown[Scope.NUMA] = {name for zone in zones for name in zone.stat}
        shown[Scope.NODE] = {name for zone in zones for name in zone.node_stat}
        own = shown[Scope.ZONE] | shown[Scope.NODE]
    if vmstat:
        shown[Scope.EVENT] = shown[Scope.LIMIT] = vmstat.keys() - own
    return shown
