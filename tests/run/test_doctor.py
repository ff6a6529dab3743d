"""Where a run cannot work, one line says why and what to do, and the doctor's table agrees."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.run.running import ENVIRONMENT, REPOSITORY, command, vmfs

NO_CAPABILITIES = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")


def rows(text: str) -> dict[str, tuple[str, str]]:
    """By requirement: whether it is met, and the rest."""
    split = (line.partition("  ") for line in text.splitlines()[1:] if "  " in line)
    return {head.strip(): (rest.strip()[:2], rest.strip()[2:]) for head, _, rest in split}


def test_all_is_well_here() -> None:
    done = vmfs("doctor")
    assert done.returncode == 0
    assert {state for state, _ in rows(done.stdout).values()} <= {"ok", "--"}
    assert len(rows(done.stdout)) >= 8


def under(*wrapper: str) -> tuple[subprocess.CompletedProcess[str], subprocess.CompletedProcess[str]]:
    """`vmfs run` and `vmfs doctor` in a namespace where something is missing."""
    outer = ("unshare", "-Urm", "sh", "-ec")
    return tuple(  # type: ignore[return-value]
        subprocess.run(
            [*outer, f'{wrapper[0]}\nexec "$@"', "sh", *wrapper[1:], *command(*words, as_root=True)],
            env=ENVIRONMENT,
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=60,
        )
        for words in (("run", "--machine", "tiny", "true"), ("doctor",))
    )


@pytest.mark.parametrize(
    ("wrapper", "requirement", "words"),
    [
        (
            ("echo 0 > /proc/sys/user/max_user_namespaces", *NO_CAPABILITIES),
            "a namespace of its own",
            "sysctl -w user.max_user_namespaces=",
        ),
        (
            ("echo 0 > /proc/sys/user/max_mnt_namespaces",),
            "a namespace of its own",
            "sysctl -w user.max_mnt_namespaces=",
        ),
        (
            ("mount -t tmpfs none /dev; mknod /dev/null c 1 3 2>/dev/null || touch /dev/null",),
            "/dev/fuse",
            "--device /dev/fuse",
        ),
    ],
)
def test_what_is_missing_is_said_with_its_cure(
    wrapper: tuple[str, ...], requirement: str, words: str
) -> None:
    ran, examined = under(*wrapper)

    assert ran.returncode == 1
    assert ran.stderr.count("\n") == 1
    assert words in ran.stderr
    assert "vmfs mount with the tool's own path option, or vmfs export" in ran.stderr
    assert examined.returncode == 1
    state, rest = rows(examined.stdout)[requirement]
    assert state == "NO"
    assert words in rest
    assert "vmfs mount" in examined.stdout.splitlines()[-1]


def test_a_filter_that_refuses_mounts_is_named(tmp_path) -> None:
    # bwrap takes a filter as the kernel's own bytes: load the call's number, compare, refuse with EPERM
    import struct

    mount = 165
    rule = struct.Struct("HBBI")
    program = b"".join(
        rule.pack(*step)
        for step in ((0x20, 0, 0, 0), (0x15, 0, 1, mount), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000))
    )
    file = tmp_path / "filter"
    file.write_bytes(program)
    with file.open("rb") as opened:
        done = subprocess.run(
            [
                "bwrap",
                "--dev-bind",
                "/",
                "/",
                "--seccomp",
                str(opened.fileno()),
                *command("doctor", as_root=True),
            ],
            env=ENVIRONMENT,
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=60,
            pass_fds=[opened.fileno()],
        )
    assert done.returncode == 1
    assert "NO" in {state for state, _ in rows(done.stdout).values()}
    assert "not tried" in rows(done.stdout)["a FUSE mount in it"][1]
    assert "under a seccomp filter" in done.stdout or os.path.exists("/.dockerenv")
