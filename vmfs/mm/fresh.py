"""Pages that growing tasks have, but whose frames nobody has asked for yet.

Memory that grows by a little every second would cut the free lists every second. So a zone's counts
change at once, and the frames are cut when somebody looks at the free lists, and dealt out to the
tasks, in order of pid, when somebody changes the lists of reclaim. How the frames are cut does not
depend on how often: what is taken in two calls are the frames of one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vmfs.mm.extents import Extents

if TYPE_CHECKING:
    from vmfs.mm.lru import Lru
    from vmfs.mm.mmzone import Zone
    from vmfs.mm.tasks import Task


@dataclass(slots=True, eq=False)
class Fresh:
    """What one zone has promised: `movable` and `unmovable` pages not cut yet, `cut` ones not dealt out."""

    movable: int = 0
    unmovable: int = 0
    shares: dict[Task, int] = field(default_factory=dict)
    frames: list[Extents] = field(default_factory=list)
    which: Lru | None = None  # the list they belong on

    @property
    def owed(self) -> int:
        return self.movable + self.unmovable

    def cut(self, zone: Zone) -> None:
        """Take the frames off the free lists; there are as many, or nothing would have been promised."""
        from vmfs.mm.mmzone import MigrateType

        movable, self.movable = self.movable, 0
        unmovable, self.unmovable = self.unmovable, 0
        if movable:
            self.frames.append(zone.buddy.alloc(0, movable, MigrateType.MOVABLE)[0])
        if unmovable:
            tables = zone.buddy.alloc(0, unmovable, MigrateType.UNMOVABLE)[0]
            zone.other = Extents.concat([zone.other, tables])

    def settle(self, zone: Zone) -> None:
        """Each task's pages become a batch at the end of their list, where they are counted already."""
        from vmfs.mm.lru import Batch, Use

        self.cut(zone)
        left = Extents.concat(self.frames)
        shares, self.shares, self.frames = self.shares, {}, []
        for task in sorted(shares, key=lambda task: task.pid):
            mine, left = left.take(shares[task])
            zone.lruvec.lists[self.which or 0].append(Batch(Use.ANON, mine.coalesced(), task, accessed=True))
