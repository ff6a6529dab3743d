"""The verbs of control lines: one table, a row each, and what each does to the machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from errno import EINVAL, ENOENT, ESRCH
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from vmfs.control.words import Parse, decimal, integer, name, node, numbers, one_of, pages, path, rate, zone
from vmfs.mm import fork, mempolicy, state
from vmfs.mm.machine import Machine
from vmfs.mm.tasks import Task

MOST_COUNT = 1 << 40
MOST_SECONDS = 10**9
OOM_SCORE_ADJ = 1000
MOST_UID = (1 << 32) - 2


class Host(Protocol):
    """Who shows the machine: `elapsed` is None where time passes by hand alone."""

    machine: Machine
    elapsed: Callable[[], float] | None

    def replace(self, machine: Machine) -> None: ...

    def tick(self, seconds: float) -> None: ...

    def add_rule(self, kind: str, pattern: str, value: str = "") -> None: ...

    def remove_rules(self, pattern: str) -> int: ...


@dataclass(frozen=True, slots=True)
class Verb:
    """`does(host, *operands, **keys)` answers what reading vmfs/ctl gives, or None."""

    name: str
    does: Callable[..., object]
    operands: tuple[tuple[str, Parse], ...] = ()
    keys: Mapping[str, Parse] = field(default_factory=dict)

    @property
    def usage(self) -> str:
        keys = (f"[{key}=…]" for key in self.keys)
        return " ".join((self.name, *(name for name, _ in self.operands), *keys))


def refusal(errno: int, why: str) -> OSError:
    return OSError(errno, why)


def start(host: Host, name: str, node: int | None = None, **keys: Any) -> int:
    return host.machine.start(name, nid=node, **keys).pid


def stop(host: Host, who: str) -> None:
    host.machine.stop(_task(host.machine, who))


def _task(machine: Machine, who: str) -> Task:
    if who.isdecimal() and int(who) in machine.tasks:
        return machine.tasks[int(who)]
    named = [task for task in machine.tasks.values() if task.name == who]
    if not named:
        raise refusal(ESRCH, f"no task {who}")
    if len(named) > 1:
        raise refusal(EINVAL, f"several tasks are called {who}: name one of {[t.pid for t in named]}")
    return named[0]


def read(host: Host, size: int, files: int = 1, node: int | None = None, name: str | None = None) -> None:
    host.machine.read_files(size, files, node, name)


def write(host: Host, size: int, files: int = 1) -> None:
    host.machine.write_files(size, files)


def slab(host: Host, name: str, objects: int) -> None:
    cache = host.machine.slab_cache(name)
    if cache is None:
        raise refusal(ENOENT, f"no cache {name}: slabinfo lists them")
    host.machine.slab_alloc(cache, objects)


def fragment(host: Host, node: int | None = None, zone: str | None = None, keep: float = 1.0) -> int:
    return host.machine.fragment(keep, node, zone)


def swapon(host: Host, size: int, name: str | None = None, priority: int | None = None) -> None:
    used = {area.name for area in host.machine.swap_areas}
    name = name or next(free for i in count() if (free := f"/swap{i}") not in used)
    kind = "partition" if name.startswith("/dev/") else "file"
    host.machine.swapon(size, name, kind, priority)


def swapoff(host: Host, name: str) -> None:
    if all(area.name != name for area in host.machine.swap_areas):
        raise refusal(ENOENT, f"no swap area {name}: proc/swaps lists them")
    host.machine.swapoff(name)


def oom(host: Host) -> int:
    victim = host.machine.oom()
    if victim is None:
        raise refusal(ESRCH, "no task can be killed")
    return victim.pid


def advance(host: Host, seconds: float) -> None:
    if host.elapsed is not None:
        raise refusal(EINVAL, "the clock runs by itself: mount with --clock manual")
    host.tick(seconds)


def save(host: Host, file: Path) -> None:
    """Whole or not at all: a file that was there stays until the new one is complete."""
    part = file.with_name(f".{file.name}.part")
    try:
        part.write_bytes(host.machine.save())
        part.replace(file)
    except OSError as fault:
        part.unlink(missing_ok=True)
        raise refusal(fault.errno or EINVAL, f"{file}: {fault.strerror}") from None


def load(host: Host, file: Path) -> None:
    try:
        data = file.read_bytes()
    except OSError as fault:
        raise refusal(fault.errno or EINVAL, f"{file}: {fault.strerror}") from None
    host.replace(state.load(data))


def pids(host: Host, given: list[int]) -> None:
    fork.give_pids(host.machine, given)


def fault(kind: str) -> Callable[[Host, str], None]:
    return lambda host, pattern: host.add_rule(kind, pattern)


def fail(host: Host, pattern: str, errno: str) -> None:
    host.add_rule("fail", pattern, errno)


def policy(host: Host, called: str, path: str = "/") -> None:
    host.add_rule("policy", path, called)


def heal(host: Host, pattern: str) -> None:
    if not host.remove_rules(pattern):
        raise refusal(ENOENT, f"nothing was done to {pattern}")


COUNT = integer(0, MOST_COUNT)
YES_OR_NO = integer(0, 1)

VERBS = {
    verb.name: verb
    for verb in (
        Verb(
            "start",
            start,
            (("NAME", name),),
            {
                "anon": pages,
                "file": pages,
                "shmem": pages,
                "huge": COUNT,
                "thp": YES_OR_NO,
                "mlock": YES_OR_NO,
                "node": node,
                "policy": one_of(mempolicy.POLICIES),
                "oom_score_adj": integer(-OOM_SCORE_ADJ, OOM_SCORE_ADJ),
                "uid": integer(0, MOST_UID),
                "grow": rate,
                "touch": rate,
            },
        ),
        Verb("stop", stop, (("NAME|PID", name),)),
        Verb("read", read, (("SIZE", pages),), {"files": COUNT, "node": node, "name": name}),
        Verb("write", write, (("SIZE", pages),), {"files": COUNT}),
        Verb("slab", slab, (("CACHE", name), ("N", integer(-MOST_COUNT, MOST_COUNT)))),
        Verb(
            "fragment",
            fragment,
            (),
            {"node": node, "zone": zone, "keep": decimal(1, "a fraction from 0 to 1 is meant")},
        ),
        Verb("swapon", swapon, (("SIZE", pages),), {"name": name, "priority": integer(-1, 32767)}),
        Verb("swapoff", swapoff, (("NAME", name),)),
        Verb("oom", oom),
        Verb("advance", advance, (("SECONDS", decimal(MOST_SECONDS, "seconds are meant, as 0.5 or 60")),)),
        Verb("save", save, (("FILE", path),)),
        Verb("load", load, (("FILE", path),)),
        Verb("pids", pids, (("PID,...", numbers),)),  # what `vmfs run --tasks` says
        Verb("hide", fault("hide"), (("PATH", name),)),
        Verb("truncate", fault("truncate"), (("PATH", name),)),
        Verb("garble", fault("garble"), (("PATH", name),)),
        Verb("fail", fail, (("PATH", name), ("ERRNO", name))),
        Verb("policy", policy, (("NAME", name),), {"path": name}),
        Verb("heal", heal, (("PATH", name),)),
    )
}
