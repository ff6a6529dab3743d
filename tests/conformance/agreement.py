"""What was compared, and what did not agree."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Disagreement:
    """`where` is the file, `line` its line or field; then the kernel's text and ours."""

    where: str
    line: str
    kernel: str
    ours: str

    def __str__(self) -> str:
        return f"{self.where} {self.line}\n  kernel: {self.kernel}\n  ours:   {self.ours}"


@dataclass(slots=True)
class Agreement:
    compared: int = 0
    again: int = 0  # of what disagrees, so many agree with the machine recorded again
    disagreements: list[Disagreement] = field(default_factory=list)

    @property
    def agreed(self) -> int:
        return self.compared - len(self.disagreements)

    def equal(self, where: str, line: object, kernel: object, ours: object) -> bool:
        return self.judge(where, line, kernel, ours, agree=kernel == ours)

    def judge(
        self, where: str, line: object, kernel: object, ours: object, *, agree: bool, again: bool = False
    ) -> bool:
        """Counts one comparison, whose outcome the caller knows: with the recording, and with another."""
        self.compared += 1
        if not agree:
            self.again += again
            self.disagreements.append(Disagreement(where, str(line), _shown(kernel), _shown(ours)))
        return agree


def _shown(value: object) -> str:
    return value if isinstance(value, str) else repr(value)
