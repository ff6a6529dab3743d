"""/sys/kernel/mm/lru_gen (mm/vmscan.c)."""

from __future__ import annotations

from vmfs.kernel import Feature
from vmfs.views.codec import UINT_MAX, Parsed, Write
from vmfs.views.kstrtox import Millisecs, Number
from vmfs.views.tunable import attribute, settings_dir


class Capabilities(Number):
    """enabled_store(): bits as a number in any base, `y...` for all of them, `n...` for none."""

    def format(self, value: int) -> str:
        return f"0x{value:04x}\n"

    def parse(self, write: Write, old: int) -> Parsed[int]:
        letter = write.data[:1].lower()
        if letter in {b"y", b"n"}:
            return Parsed(UINT_MAX if letter == b"y" else 0, len(write.data))
        return super().parse(write, old)


DIRS = (
    settings_dir(
        "/sys/kernel/mm/lru_gen",
        lambda machine: machine.lru_gen,
        attribute("enabled", Capabilities(base=0)),
        attribute("min_ttl_ms", Millisecs()),
        needs=Feature.LRU_GEN,
    ),
)
