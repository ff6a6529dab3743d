"""The same machine, seed and calls give the same bytes."""

import os
import subprocess
import sys

from vmfs import boot, spec
from vmfs.mm import state
from vmfs.mm.machine import Machine
from vmfs.tree import Tree


def lived(machine):
    machine.read_files(50_000, 2_000)
    machine.fragment(0.3)
    machine.set_nr_hugepages(machine.default_hstate, 100)
    machine.start("task", anon=20_000)
    machine.tick(3.5)
    return machine


def every_text(machine):
    tree = Tree(machine)
    texts = {}
    for entry in tree.walk():
        try:
            texts[entry.path] = tree.read(entry.path)
        except OSError as refused:
            texts[entry.path] = refused.errno
    return texts


def booted(seed):
    return Machine.from_snapshot(boot.boot(spec.load("article", seed=seed)))


def test_two_lives_are_equal():
    assert every_text(lived(booted(7))) == every_text(lived(booted(7)))


def test_a_saved_machine_goes_on_as_if_it_had_not_been_saved():
    first = lived(booted(7))
    second = state.load(lived(booted(7)).save())

    assert every_text(lived(first)) == every_text(lived(second))


def test_the_seed_matters():
    assert every_text(lived(booted(7))) != every_text(lived(booted(8)))


SAVE = """
import sys
from vmfs import boot, spec
from vmfs.mm.machine import Machine
machine = Machine.from_snapshot(boot.boot(spec.load("tiny")))
machine.start("task", anon=20_000)
sys.stdout.buffer.write(machine.save())
"""


def test_a_saved_file_is_the_same_in_any_process():
    saved = [
        subprocess.run(
            [sys.executable, "-c", SAVE],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]

    assert saved[0] == saved[1]
    assert state.load(saved[0]).kernel.features == booted(0).kernel.features
