"""docs/differences.md names every system call that the comparison leaves out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.syscalls import DIFFERENT

TEXT = (Path(__file__).parent.parent / "docs" / "differences.md").read_text()


@pytest.mark.parametrize("rule", DIFFERENT, ids=lambda rule: rule.call)
def test_is_explained(rule) -> None:
    words = {
        "lseek_end": "SEEK_END",
        "lseek_cur": "SEEK_CUR",
        "write_empty": "`write` of no bytes",
        "read_after": "`read`",
    }

    assert words.get(rule.call, f"`{rule.call}`") in TEXT
