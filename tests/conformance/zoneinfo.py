"""The values of /proc/zoneinfo that a formula fixes, by zone, CPU and label."""

from __future__ import annotations

import re

_ZONE = re.compile(r"Node (\d+), zone +(\w+)")
_CPU = re.compile(r" +cpu: (\d+)")
_VALUE = re.compile(
    r" +(boost|min|low|high|promo|spanned|present|managed|cma|protection:|high:|batch:|high_min:|high_max:"
    r"|vm stats threshold:) +(.+)"
)


def fixed_values(text: str) -> dict[str, str]:
    """ "Node 0, zone DMA32 cpu 1 batch:" -> "63"."""
    values = {}
    zone = cpu = ""
    for line in text.splitlines():
        if found := _ZONE.match(line):
            zone, cpu = f"Node {found[1]}, zone {found[2]}", ""
        elif found := _CPU.match(line):
            cpu = f" cpu {found[1]}"
        elif found := _VALUE.fullmatch(line):
            values[f"{zone}{cpu} {found[1]}"] = found[2]
    return values
