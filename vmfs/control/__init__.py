"""Control lines: what happens on the machine beside the files a kernel has.

`verb [operand] [key=value]…`, one line each, all or nothing. A refused line raises OSError with
the errno of the write and the reason to be read back from vmfs/ctl.
"""

from __future__ import annotations

import shlex
from errno import EHOSTDOWN, EINVAL, ENOMEM
from typing import Any

from vmfs.control.verbs import VERBS, Host, Verb, refusal
from vmfs.control.words import Parse
from vmfs.mm.alloc_request import OutOfMemory
from vmfs.mm.hugetlbfs import NoHugePages
from vmfs.mm.machine import Machine
from vmfs.views.entry import Dir, File

AFTER_A_PANIC = {"save", "load", "pids", "hide", "truncate", "garble", "fail", "policy", "heal"}
"""What is not done to the machine itself."""


class Control:
    """The file vmfs/ctl of one mount."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._answer = ""

    def dirs(self) -> tuple[Dir[Control], ...]:
        ctl: File[Control] = File("ctl", Control.read, Control.write, mode=0o600)
        return (Dir("/vmfs", (ctl,), lambda _: (((), self),)),)

    def read(self) -> str:
        """The answer to the last line, or why it was refused."""
        return self._answer

    def write(self, data: bytes, _offset: int = 0) -> int:
        """Every line in turn, until one is refused: OSError. One write must hold whole lines."""
        try:
            for line in data.decode().split("\n"):
                if line.strip() and not line.lstrip().startswith("#"):
                    self._answer = run(self._host, line)
        except UnicodeDecodeError:
            self._answer = "a control line is text in UTF-8\n"
            raise refusal(EINVAL, self._answer) from None
        except OSError as fault:
            self._answer = f"{fault.strerror}\n"
            raise
        except Exception as fault:
            self._answer = f"a fault of vmfs itself, {type(fault).__name__}: {fault}\n"
            raise
        finally:
            self._host.machine.touch()  # the answer is part of what can be read
        return len(data)


def run(host: Host, line: str) -> str:
    """One control line, not a blank one; its answer with a newline, or ""."""
    verb, operands, keys = _parsed(host, line)
    if host.machine.panicked and verb.name not in AFTER_A_PANIC:
        raise refusal(EHOSTDOWN, f"{verb.name}: the machine has panicked: {host.machine.panicked}")
    answer = _call(verb, host, operands, keys)
    return "" if answer is None else f"{answer}\n"


def check(host: Host, line: str) -> None:
    """OSError for a line that is refused whatever the machine's state."""
    _parsed(host, line)


def _parsed(host: Host, line: str) -> tuple[Verb, list[Any], dict[str, Any]]:
    try:
        words = shlex.split(line)
    except ValueError as fault:
        raise refusal(EINVAL, f"{line}: {fault}") from None
    verb = VERBS.get(words[0])
    if verb is None:
        raise refusal(EINVAL, f"{words[0]}: no such verb; there are {', '.join(VERBS)}")
    return verb, *_arguments(verb, host.machine, words[1:])


def _arguments(verb: Verb, machine: Machine, words: list[str]) -> tuple[list[Any], dict[str, Any]]:
    operands, rest = words[: len(verb.operands)], words[len(verb.operands) :]
    keys = {key: value for key, equals, value in (word.partition("=") for word in rest) if equals}
    for key in keys:
        if key not in verb.keys:
            raise refusal(EINVAL, f"{verb.name}: {key}= is not known; usage: {verb.usage}")
    if len(operands) < len(verb.operands) or len(keys) < len(rest):
        raise refusal(EINVAL, f"usage: {verb.usage}")
    named = [(name, parse, text) for (name, parse), text in zip(verb.operands, operands, strict=True)]
    values = [_value(verb, machine, *each) for each in named]
    return values, {key: _value(verb, machine, key, verb.keys[key], text) for key, text in keys.items()}


def _value(verb: Verb, machine: Machine, name: str, parse: Parse, text: str) -> Any:
    try:
        return parse(machine, text)
    except ValueError as fault:
        raise refusal(EINVAL, f"{verb.name}: {name} {text!r}: {fault}") from None


def _call(verb: Verb, host: Host, operands: list[Any], keys: dict[str, Any]) -> object:
    try:
        return verb.does(host, *operands, **keys)
    except OutOfMemory:
        raise refusal(ENOMEM, f"{verb.name}: out of memory") from None
    except NoHugePages:
        raise refusal(ENOMEM, f"{verb.name}: the pool has not as many free huge pages") from None
    except OSError as fault:
        raise refusal(fault.errno or EINVAL, f"{verb.name}: {fault.strerror}") from None
    except ValueError as fault:
        raise refusal(EINVAL, f"{verb.name}: {fault}") from None
