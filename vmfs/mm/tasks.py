"""The simulated processes whose memory is charged (include/linux/sched.h: struct task_struct)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vmfs.mm import mempolicy
from vmfs.mm.current import Current
from vmfs.mm.hugetlbfs import HugetlbFile
from vmfs.mm.lru import Use
from vmfs.mm.pgtable import NO_TABLES, Tables
from vmfs.mm.shadow import Shadows

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine

FIRST_PID = 1000


@dataclass(frozen=True, slots=True)
class Memory:
    """What a task maps and touches: pages, and huge pages of the default size.

    `thp` asks for transparent huge pages, `mlock` for all of it to stay in memory. `nid` is where
    it runs, or the node of its policy; `grow` pages of anonymous memory come a second, and so often
    does it `touch` a page of what it has.
    """

    anon: int = 0
    file: int = 0
    shmem: int = 0
    huge: int = 0
    thp: bool = False
    mlock: bool = False
    nid: int | None = None
    policy: str = mempolicy.LOCAL
    grow: float = 0.0
    touch: float = 0.0


@dataclass(slots=True, eq=False)
class Task:
    """A process on node `nid`: pages it has mapped that are in memory, and those swapped out."""

    pid: int
    name: str
    nid: int
    memory: Memory = field(default_factory=Memory)
    cpu: int = 0
    oom_score_adj: int = 0
    uid: int = 0
    anon: int = 0
    file: int = 0
    shmem: int = 0
    shadows: Shadows = field(default_factory=Shadows)  # of what is swapped out
    file_shadows: Shadows = field(default_factory=Shadows)  # of what reclaim took of its file
    swapped: dict[Use, int] = field(default_factory=dict)
    thp: int = 0  # of the anonymous pages, those in huge ones
    tables: Tables = NO_TABLES
    committed: int = 0
    hiwater_rss: int = 0  # the most it had in memory before it lost some
    oom_score_adj_min: int = 0  # what a process without CAP_SYS_RESOURCE may go down to
    started_centisecs: int = 0
    grown: float = 0.0  # part of a page that is still to come
    touched: float = 0.0  # part of a page of swap that is still to be touched
    read_again: float = 0.0  # the same of a page of its file that is lost
    hugetlb: HugetlbFile | None = None

    @property
    def current(self) -> Current:
        """The task as whoever acts."""
        return Current(self.name, self.pid, self.uid, self.oom_score_adj, self.cpu)

    @property
    def rss(self) -> int:
        return self.anon + self.file + self.shmem

    @property
    def swap(self) -> int:
        return sum(self.swapped.values())

    @property
    def lost(self) -> int:
        """Pages of its file that reclaim took."""
        return self.memory.file - self.file

    @property
    def page_tables(self) -> int:
        """Pages of tables, as VmPTE and the OOM killer count them."""
        return self.tables.mm_pgtables


def init(machine: Machine) -> Task:
    """The first process: it has touched nothing that a capture tells, and nothing kills it."""
    return Task(1, "/sbin/init", machine.default_nid)
