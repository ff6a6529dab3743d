"""What a mount does that no kernel would: policies of other surroundings, and faults, by path.

For testing automation: whether a tool copes with a container's read-only /proc/sys, with a file that is
not there, fails, ends early or holds rubbish. The machine behind the files is not touched.
"""

from __future__ import annotations

import errno
import random
import re
from collections.abc import Callable
from errno import EROFS
from fnmatch import translate
from typing import NamedTuple

from vmfs.tree.policy import Caller, error

Edit = Callable[[bytes], bytes]

NOBODY = 65534
CONTROL = "/vmfs"
POLICIES = ("bare-metal", "container-ro", "unprivileged")
CONTAINER_READ_ONLY = ("/proc/sys", "/proc/sysrq-trigger", "/sys")
"""What a container runtime mounts read-only (runc's `readonlyPaths`, and /sys whole)."""

ON_OPEN = frozenset(
    {"EACCES", "EBUSY", "EMFILE", "ENFILE", "ENODEV", "ENOENT", "ENXIO", "EPERM", "EROFS", "ETXTBSY"}
)
"""Errors that open(2) has; any other comes from read(2) and write(2)."""

GARBLED_ONE_IN = 8
NEWLINE = 10
SHARE_LEFT = 2  # a truncated text keeps one part of so many


class Rule(NamedTuple):
    """`kind` is hide, fail, truncate, garble or policy; `value` the errno's or policy's name."""

    kind: str
    pattern: str
    value: str
    pathnames: re.Pattern[str]

    def covers(self, path: str) -> bool:
        """What is vmfs's own must be meant by name: the way back stays open."""
        if path.startswith(CONTROL) and not self.pattern.startswith(CONTROL):
            return False
        return self.pathnames.match(path) is not None


class Rules:
    """The rules of one tree. Patterns are as a shell's, `*` also matches "/"; what is below is meant too."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []

    def add(self, kind: str, pattern: str, value: str = "") -> None:
        """The last rule of a kind that covers a path decides. ValueError says what is accepted."""
        if not pattern.startswith("/"):
            raise ValueError(f"{pattern!r} is no path of the machine: it starts with /")
        if kind == "policy" and value not in POLICIES:
            raise ValueError(f"{value!r} is no policy: {', '.join(POLICIES)}")
        if kind == "fail" and value not in errno.errorcode.values():
            raise ValueError(f"{value!r} is no errno: a name such as EIO is meant")
        name = pattern.rstrip("/")
        pathnames = re.compile(f"{translate(name or '/')}|{translate(f'{name}/*')}")
        self._rules.append(Rule(kind, pattern, value, pathnames))

    def remove(self, pattern: str) -> int:
        """Forget the rules with this very pattern, with "/" all; returns how many there were."""
        kept = [rule for rule in self._rules if pattern not in (rule.pattern, "/")]
        gone = len(self._rules) - len(kept)
        self._rules = kept
        return gone

    def hides(self, path: str) -> bool:
        return path != "/" and self._find("hide", path) is not None

    def as_seen(self, path: str, caller: Caller) -> Caller:
        """Who the caller is for the check of permissions."""
        if self._policy(path) == "unprivileged":
            return Caller(NOBODY, NOBODY, root=False)
        return caller

    def check_writable(self, path: str) -> None:
        """EROFS where the mount is read-only: mnt_want_write()."""
        if self._policy(path) == "container-ro":
            raise error(EROFS)

    def check_open(self, path: str) -> None:
        self._fail(path, opening=True)

    def check_transfer(self, path: str) -> None:
        self._fail(path, opening=False)

    def edited(self, path: str, text: bytes) -> bytes:
        """The text as a faulty file gives it."""
        if self._find("truncate", path):
            text = text[: len(text) // SHARE_LEFT]
        return garbled(path, text) if self._find("garble", path) else text

    def _fail(self, path: str, opening: bool) -> None:
        rule = self._find("fail", path)
        if rule and (rule.value in ON_OPEN) == opening:
            raise error(getattr(errno, rule.value))

    def _policy(self, path: str) -> str:
        rule = self._find("policy", path)
        if rule is None:
            return "bare-metal"
        whole = rule.pattern == "/" and rule.value == "container-ro"
        return rule.value if not whole or _is_read_only_in_containers(path) else "bare-metal"

    def _find(self, kind: str, path: str) -> Rule | None:
        return next((r for r in reversed(self._rules) if r.kind == kind and r.covers(path)), None)


def _is_read_only_in_containers(path: str) -> bool:
    return any(path == root or path.startswith(f"{root}/") for root in CONTAINER_READ_ONLY)


def garbled(path: str, text: bytes) -> bytes:
    """The same length and lines; one byte in eight, at least one, the same ones each time, differs."""
    chance = random.Random(path)  # noqa: S311 # faults need no cryptography
    places = [place for place, byte in enumerate(text) if byte != NEWLINE]
    found = bytearray(text)
    for place in [p for p in places if chance.randrange(GARBLED_ONE_IN) == 0] or places[:1]:
        found[place] = chance.choice([byte for byte in range(1, 256) if byte not in (NEWLINE, found[place])])
    return bytes(found)
