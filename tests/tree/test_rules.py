"""Policies of other surroundings and faults: by path, at the call where a kernel has the error."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

import pytest

from tests.small_machine import small_machine
from vmfs import control
from vmfs.tree import Caller, Tree, calls

SWAPPINESS = "/proc/sys/vm/swappiness"
MEMINFO = "/proc/meminfo"
POOL = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"


@pytest.fixture
def tree() -> Tree:
    return Tree(small_machine())


def errno_of(call: Callable[[], object]) -> str:
    try:
        call()
    except OSError as fault:
        return errno.errorcode[fault.errno or 0]
    return "0"


def test_in_a_container_sysctls_and_sysfs_are_mounted_read_only(tree: Tree) -> None:
    tree.add_rule("policy", "/", "container-ro")

    for path in (SWAPPINESS, POOL, "/proc/sys/vm/drop_caches"):
        assert errno_of(lambda path=path: tree.write(path, "1\n")) == "EROFS"
        assert errno_of(lambda path=path: calls.truncate(tree, path, tree.owner)) == "EROFS"
        assert errno_of(lambda path=path: calls.access(tree, path, os.W_OK, tree.owner)) == "EROFS"
    assert errno_of(lambda: calls.chmod(tree, POOL, 0o600, tree.owner)) == "EROFS"
    assert errno_of(lambda: calls.refuse(tree, "unlink", SWAPPINESS, tree.owner)) == "EROFS"
    assert tree.read(SWAPPINESS) == "60\n"
    # /proc itself is not read-only: the file refuses, as it does without a container
    assert errno_of(lambda: tree.write(MEMINFO, "1\n")) == "EIO"


def test_root_without_privileges_is_refused_as_any_user(tree: Tree) -> None:
    tree.add_rule("policy", "/", "unprivileged")

    assert errno_of(lambda: tree.write(SWAPPINESS, "1\n")) == "EACCES"
    assert errno_of(lambda: tree.read("/proc/slabinfo")) == "EACCES"
    assert errno_of(lambda: calls.truncate(tree, SWAPPINESS, tree.owner)) == "EACCES"
    assert errno_of(lambda: calls.chmod(tree, POOL, 0o600, tree.owner)) == "EPERM"
    assert tree.read(SWAPPINESS) == "60\n"


def test_the_last_policy_that_covers_a_path_decides(tree: Tree) -> None:
    tree.add_rule("policy", "/", "unprivileged")
    tree.add_rule("policy", "/proc/sys/vm/nr_*", "bare-metal")

    tree.write("/proc/sys/vm/nr_hugepages", "1\n")
    assert errno_of(lambda: tree.write(SWAPPINESS, "1\n")) == "EACCES"


@pytest.mark.parametrize(
    ("name", "opening", "reading"),
    [
        ("EACCES", "EACCES", "EACCES"),
        ("EIO", "0", "EIO"),
        ("EINTR", "0", "EINTR"),
        ("ENOENT", "ENOENT", "ENOENT"),
    ],
)
def test_a_file_fails_where_a_kernel_has_that_error(
    tree: Tree, name: str, opening: str, reading: str
) -> None:
    tree.add_rule("fail", MEMINFO, name)

    assert errno_of(lambda: tree.open(MEMINFO, os.O_RDONLY)) == opening
    assert errno_of(lambda: tree.read(MEMINFO)) == reading
    assert errno_of(lambda: tree.read("/proc/vmstat")) == "0"


def test_a_write_fails_and_changes_nothing(tree: Tree) -> None:
    tree.add_rule("fail", "/proc/sys/vm", "ENOMEM")
    assert errno_of(lambda: tree.write(SWAPPINESS, "1\n")) == "ENOMEM"
    tree.remove_rules("/")
    assert tree.read(SWAPPINESS) == "60\n"


def test_a_hidden_file_is_in_no_listing_and_at_no_path(tree: Tree) -> None:
    whole = tree.listdir("/proc/sys/vm")
    assert tree.read(SWAPPINESS)
    tree.add_rule("hide", "/proc/sys/vm/swap*")
    tree.add_rule("hide", "/sys/devices/system/node/node1")

    assert set(whole) - set(tree.listdir("/proc/sys/vm")) == {"swappiness"}
    assert errno_of(lambda: tree.entry(SWAPPINESS)) == "ENOENT"
    assert "node1" not in tree.listdir("/sys/devices/system/node")
    assert errno_of(lambda: tree.read("/sys/devices/system/node/node1/meminfo")) == "ENOENT"
    assert tree.read("/sys/devices/system/node/node0/meminfo")


def test_a_truncated_file_ends_early_and_says_so_in_its_size(tree: Tree) -> None:
    whole = tree.read(MEMINFO)
    tree.add_rule("truncate", MEMINFO)

    assert tree.read(MEMINFO) == whole[: len(whole) // 2]
    assert tree.stat(MEMINFO).st_size == len(whole) // 2


def test_a_garbled_file_has_its_length_and_lines_and_is_the_same_each_time(tree: Tree) -> None:
    whole = tree.read_bytes(MEMINFO)
    tree.add_rule("garble", MEMINFO)
    garbled = tree.read_bytes(MEMINFO)

    assert garbled == tree.read_bytes(MEMINFO)
    assert len(garbled) == len(whole)
    assert garbled.count(b"\n") == whole.count(b"\n")
    different = sum(a != b for a, b in zip(garbled, whole, strict=True))
    assert len(whole) // 16 < different < len(whole) // 4


@pytest.mark.parametrize("path", ["/proc/loadavg", "/proc/sys/vm/swappiness", "/proc/sys/vm/dirty_ratio"])
def test_a_short_file_is_garbled_too(tree: Tree, path: str) -> None:
    whole = tree.read_bytes(path)
    tree.add_rule("garble", path)
    assert tree.read_bytes(path) != whole


def test_whatever_is_covered_control_lines_still_work(tree: Tree) -> None:
    for line in ("hide /", "fail /* EIO", "policy unprivileged", "garble /*"):
        control.run(tree, line)
    assert errno_of(lambda: tree.read(MEMINFO)) == "ENOENT"

    assert '"machine": "small"' in tree.read("/vmfs/status")
    control.run(tree, "heal /")
    assert tree.read(MEMINFO).startswith("MemTotal")


def test_heal_forgets_one_pattern(tree: Tree) -> None:
    control.run(tree, "fail /proc/meminfo EIO")
    control.run(tree, "fail /proc/vmstat EIO")
    control.run(tree, "heal /proc/meminfo")

    assert errno_of(lambda: tree.read(MEMINFO)) == "0"
    assert errno_of(lambda: tree.read("/proc/vmstat")) == "EIO"


def test_another_caller_than_the_owner_is_not_given_more(tree: Tree) -> None:
    tree.add_rule("policy", "/", "bare-metal")
    with pytest.raises(PermissionError):
        tree.open(SWAPPINESS, os.O_WRONLY, Caller(1000, 1000, root=False))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("fail /proc/meminfo EBOGUS", "no errno"),
        ("fail proc/meminfo EIO", "starts with /"),
        ("policy bogus", "bare-metal, container-ro, unprivileged"),
        ("hide", "usage: hide PATH"),
        ("heal /proc/meminfo", "nothing was done to /proc/meminfo"),
    ],
)
def test_a_refused_rule_says_what_is_accepted(tree: Tree, line: str, words: str) -> None:
    with pytest.raises(OSError, match=words):
        control.run(tree, line)
