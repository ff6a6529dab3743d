"""/sys/kernel/mm/damon: kdamonds by number, without contexts."""

import errno

import pytest

from tests.small_machine import small_machine
from vmfs.tree import Tree

KDAMONDS = "/sys/kernel/mm/damon/admin/kdamonds"


@pytest.fixture
def tree():
    return Tree(small_machine((6, 12)))


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("3\n", 3), ("4096", 4096), ("0x2", 2), ("0", 0)])
def test_so_many_kdamonds_are_made(tree, text, number):
    tree.write(f"{KDAMONDS}/nr_kdamonds", text)

    assert tree.read(f"{KDAMONDS}/nr_kdamonds") == f"{number}\n"
    assert len(tree.listdir(KDAMONDS)) == number + 1


def test_a_kdamond_is_off_and_has_no_context(tree):
    tree.write(f"{KDAMONDS}/nr_kdamonds", "2")

    assert tree.read(f"{KDAMONDS}/1/state") == "off\n"
    assert tree.read(f"{KDAMONDS}/1/pid") == "-1\n"
    assert tree.read(f"{KDAMONDS}/1/contexts/nr_contexts") == "0\n"
    tree.write(f"{KDAMONDS}/nr_kdamonds", "1")
    assert "1" not in tree.listdir(KDAMONDS)


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("nr_kdamonds", "-1", errno.EINVAL),
        ("nr_kdamonds", "many", errno.EINVAL),
        ("0/state", "on", errno.EINVAL),
        ("0/contexts/nr_contexts", "2", errno.EINVAL),
        ("0/contexts/nr_contexts", "1", errno.ENOMEM),
    ],
)
def test_the_rest_is_refused(tree, path, text, expected):
    tree.write(f"{KDAMONDS}/nr_kdamonds", "1")
    with pytest.raises(OSError) as refused:
        tree.write(f"{KDAMONDS}/{path}", text)
    assert refused.value.errno == expected
