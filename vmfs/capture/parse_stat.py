"""/proc/stat, loadavg, uptime and pressure/*: what the scheduler counts."""

from __future__ import annotations

import re
from typing import Any

from vmfs.capture.text import Text

_PROCESS = re.compile(r"\) \S(?: -?\d+){35} (\d{1,5})(?: \d+)*\Z")
_UPTIME = re.compile(r"(\d{1,12})\.(\d\d) (\d{1,15})\.(\d\d)")
_LOADAVG = re.compile(r"(\d{1,9}\.\d\d) (\d{1,9}\.\d\d) (\d{1,9}\.\d\d) (\d{1,9})/(\d{1,9}) (\d{1,9})")
_PRESSURE = re.compile(
    r"(some|full) avg10=(\d{1,3}\.\d\d) avg60=(\d{1,3}\.\d\d) avg300=(\d{1,3}\.\d\d) total=(\d{1,19})"
)


def parse_stat(text: Text) -> dict[str, list[int]]:
    """Key -> its numbers: "cpu", "cpu0", "intr", "ctxt" ... (fs/proc/stat.c: show_stat())."""
    rows: dict[str, list[int]] = {}
    for number, line in text.numbered():
        key, _blank, rest = line.partition(" ")
        if not re.fullmatch(r"[a-z_]+\d{0,5}", key) or key in rows or not rest:
            raise text.error(number, f"not a line of stat, or there twice: {line[:40]!r}")
        rows[key] = text.numbers(number, rest)
    return rows


def parse_uptime(text: Text) -> tuple[int, int]:
    """Uptime and idle time, both in hundredths of a second."""
    found = _UPTIME.fullmatch(text.only())
    if not found:
        raise text.error(1, "expected 'SECONDS.CC SECONDS.CC'")
    up, up_cs, idle, idle_cs = (int(word) for word in found.groups())
    return up * 100 + up_cs, idle * 100 + idle_cs


def parse_processor(text: Text) -> int | None:
    """Of /proc/PID/stat the CPU it ran on last, field 39; None where the file is not such a line."""
    found = _PROCESS.search("\n".join(text.lines))  # the name in field 2 may hold anything
    return int(found[1]) if found else None


def parse_loadavg(text: Text) -> dict[str, Any]:
    """The three averages, running and all threads, the last pid (fs/proc/loadavg.c)."""
    found = _LOADAVG.fullmatch(text.only())
    if not found:
        raise text.error(1, "expected 'N.NN N.NN N.NN N/N N'")
    return {
        "loadavg": tuple(float(word) for word in found.group(1, 2, 3)),
        "nr_running": int(found[4]),
        "nr_threads": int(found[5]),
        "last_pid": int(found[6]),
    }


def parse_pressure(text: Text) -> dict[str, tuple[float, float, float, int]]:
    """Of "some" and "full" the averages over 10, 60, 300 s in percent, and the total in microseconds."""
    rows: dict[str, tuple[float, float, float, int]] = {}
    for number, line in text.numbered():
        found = _PRESSURE.fullmatch(line)
        if not found or found[1] in rows:
            raise text.error(number, f"not a line of pressure, or there twice: {line[:40]!r}")
        ten, sixty, three_hundred = (float(word) for word in found.group(2, 3, 4))
        rows[found[1]] = (ten, sixty, three_hundred, text.number(number, found[5]))
    return rows
