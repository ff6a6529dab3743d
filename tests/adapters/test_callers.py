"""Who makes a system call on a mount is who acts on the machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.mounting import mounted

USER = 1000
ATTEMPT = """
import os, sys
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(int(sys.argv[1]))
    os.setuid(int(sys.argv[1]))
for text in sys.argv[3:]:
    try:
        with open(sys.argv[2], "wb", buffering=0) as file:
            print(file.write(text.encode()))
    except OSError as error:
        print(os.strerror(error.errno))
"""


def attempts(path: Path, uid: int, *texts: str) -> list[str]:
    """What each write comes to, for that user: bytes, or why not."""
    command = [sys.executable, "-c", ATTEMPT, str(uid), str(path), *texts]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd="/").stdout.splitlines()


def test_who_is_not_capable_may_not_make_a_task_harder_to_kill() -> None:
    """The user whose machine it is may: root here, or who runs this."""
    others = ("--allow-other",) if os.getuid() == 0 else ()
    refused = "Permission denied" if others else "2"
    with mounted("--machine", "tiny", "--clock", "manual", *others) as mount:
        (mount / "vmfs/ctl").write_text(f"start web anon=10M uid={USER}\n")
        pid = int((mount / "vmfs/ctl").read_text())
        file = mount / f"proc/{pid}/oom_score_adj"

        assert attempts(file, USER, "50", "-5", "0") == ["2", refused, "1"]
        assert attempts(file, USER + 1, "99") == [refused]  # whose task it is not
        assert attempts(file, 0, "-7") == ["2"]
        assert attempts(file, USER, "-8", "-7") == [refused, "2"]
        assert file.read_text() == "-7\n"


def test_the_log_names_the_caller() -> None:
    with mounted("--machine", "tiny", "--clock", "manual") as mount:
        (mount / "vmfs/ctl").write_text("start web anon=10M\n")
        pid = int((mount / "vmfs/ctl").read_text())
        assert attempts(mount / f"proc/{pid}/oom_adj", 0, "5") == ["1"]
        fd = os.open(mount / "dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        try:
            said = ""
            while "oom_adj" not in said:
                said = os.read(fd, 8192).decode()
        finally:
            os.close(fd)

    comm = Path(sys.executable).name[:15]
    assert f";{comm} (" in said
    assert f"): /proc/{pid}/oom_adj is deprecated, please use /proc/{pid}/oom_score_adj instead.\n" in said
