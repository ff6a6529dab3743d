"""On whose behalf the kernel acts (include/asm-generic/current.h)."""

from __future__ import annotations

from typing import NamedTuple


class Current(NamedTuple):
    """`current`: the process that made the call. Init, where nobody says who it is.

    `cpu` is where it runs, or None for whichever CPU is near the work. Who `is_paced` takes over a second
    what it asks for at once, so that kswapd keeps up.
    """

    comm: str = "init"
    pid: int = 1
    uid: int = 0
    oom_score_adj: int = 0
    cpu: int | None = None
    is_paced: bool = False


INIT = Current()
KWORKER = Current("kworker/0:1", 9)
"""The kernel thread that works off what others only asked for."""
