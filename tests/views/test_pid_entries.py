"""Which processes there are, whose they are, and what can be written to them."""

from __future__ import annotations

import pytest

from tests.small_machine import small_machine
from vmfs.mm.tasks import Task
from vmfs.tree import Tree


def test_processes_come_and_go() -> None:
    machine = small_machine()
    tree = Tree(machine)

    def pids() -> list[str]:
        return [name for name in tree.listdir("/proc") if name.isdigit()]

    assert pids() == ["1"]
    task = machine.start("db", anon=10)
    assert pids() == ["1", str(task.pid)]
    assert tree.listdir(f"/proc/{task.pid}/task") == [str(task.pid)]
    machine.stop(task)
    assert pids() == ["1"]
    with pytest.raises(FileNotFoundError):
        tree.read(f"/proc/{task.pid}/status")


def test_a_victim_of_the_oom_killer_is_gone_from_proc() -> None:
    machine = small_machine()
    tree = Tree(machine)
    task = machine.start("leak", anon=1000, grow=100_000.0)
    assert str(task.pid) in tree.listdir("/proc")
    machine.tick(20)

    assert str(task.pid) not in tree.listdir("/proc")


def test_self_is_init() -> None:
    tree = Tree(small_machine())

    assert tree.readlink("/proc/self") == "1"
    assert tree.read(tree.resolve("/proc/thread-self/comm")) == "init\n"
    assert tree.read("/proc/1/cmdline") == "/sbin/init\0"


def test_directories_belong_to_the_user_of_the_task() -> None:
    machine = small_machine()
    tree = Tree(machine)
    task = machine.start("db", uid=4711)

    assert tree.stat(f"/proc/{task.pid}").st_uid == 4711
    assert tree.stat(f"/proc/{task.pid}/task/{task.pid}/stat").st_uid == 4711
    assert tree.stat("/proc/1").st_uid == tree.owner.uid
    assert tree.stat(f"/proc/{task.pid}/fd").st_mode & 0o777 == 0o500
    assert tree.listdir(f"/proc/{task.pid}/fd") == []


def test_every_file_has_its_place_in_the_kernels_order() -> None:
    tree = Tree(small_machine())
    found = tree.listdir("/proc/1")

    assert found[:3] == ["task", "fd", "fdinfo"]
    assert found[-1] == "io"
    assert [name for name in found if name.startswith("oom")] == ["oom_score", "oom_adj", "oom_score_adj"]


@pytest.fixture
def adjusted() -> tuple[Tree, str, Task]:
    machine = small_machine()
    task = machine.start("db", anon=10_000)
    return Tree(machine), f"/proc/{task.pid}", task


@pytest.mark.parametrize(
    ("text", "value"),
    [("500\n", 500), ("-1000", -1000), (" 0x10 ", 16), ("010", 8), ("+7\n", 7)],
)
def test_oom_score_adj_is_written(adjusted: tuple[Tree, str, Task], text: str, value: int) -> None:
    tree, path, task = adjusted
    tree.write(f"{path}/oom_score_adj", text)

    assert task.oom_score_adj == value
    assert tree.read(f"{path}/oom_score_adj") == f"{value}\n"


@pytest.mark.parametrize(
    ("text", "errno"),
    [("1001", 22), ("-1001", 22), ("", 22), ("a", 22), ("1 2", 22), ("99999999999", 34), ("-+1", 22)],
)
def test_oom_score_adj_refuses(adjusted: tuple[Tree, str, Task], text: str, errno: int) -> None:
    tree, path, task = adjusted
    with pytest.raises(OSError) as refused:
        tree.write_bytes(f"{path}/oom_score_adj", text.encode(), 0)

    assert refused.value.errno == errno
    assert task.oom_score_adj == 0


def test_a_long_write_is_cut_to_twelve_bytes(adjusted: tuple[Tree, str, Task]) -> None:
    tree, path, task = adjusted

    assert tree.write_bytes(f"{path}/oom_score_adj", b"5" + b" " * 20, 0) == 12
    assert task.oom_score_adj == 5


def test_who_is_not_root_may_not_go_below_the_minimum(adjusted: tuple[Tree, str, Task]) -> None:
    tree, path, _ = adjusted
    tree.write(f"{path}/oom_score_adj", "100")
    tree.owner = tree.owner._replace(uid=1000, root=False)
    tree.write(f"{path}/oom_score_adj", "200")
    tree.write(f"{path}/oom_score_adj", "100")
    with pytest.raises(PermissionError):
        tree.write(f"{path}/oom_score_adj", "99")


@pytest.mark.parametrize(("old", "new", "back"), [("15", 1000, "15"), ("-17", -1000, "-17"), ("8", 470, "7")])
def test_oom_adj_is_the_scale_of_old(adjusted: tuple[Tree, str, Task], old: str, new: int, back: str) -> None:
    tree, path, task = adjusted
    tree.write(f"{path}/oom_adj", old)

    assert task.oom_score_adj == new
    assert tree.read(f"{path}/oom_adj") == f"{back}\n"
    assert "oom_adj is deprecated" in tree.machine.log.records[-1].text


def test_oom_score_follows_memory_and_its_adjustment(adjusted: tuple[Tree, str, Task]) -> None:
    tree, path, _ = adjusted
    scores = []
    for adj in ("0", "500", "1000", "-500", "-999", "-1000"):
        tree.write(f"{path}/oom_score_adj", adj)
        scores.append(int(tree.read(f"{path}/oom_score")))

    assert scores == [679, 1012, 1345, 346, 14, 0]


def test_nobody_else_names_a_process(adjusted: tuple[Tree, str, Task]) -> None:
    tree, path, _ = adjusted
    with pytest.raises(OSError, match="Invalid argument"):
        tree.write(f"{path}/comm", "other")


def test_names_are_cut_and_paths_kept() -> None:
    machine = small_machine()
    task = machine.start("/opt/a very long program name")
    tree = Tree(machine)

    assert tree.read(f"/proc/{task.pid}/comm") == "a very long pro\n"
    assert tree.read(f"/proc/{task.pid}/stat").startswith(f"{task.pid} (a very long pro) S 1 ")
    assert r"file=/opt/a\040very" in tree.read(f"/proc/{task.pid}/numa_maps")
