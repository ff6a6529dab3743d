"""Described machines: what a file may say, and one clear line for what it may not."""

from pathlib import Path

import pytest

from vmfs import spec
from vmfs.kernel import Arch, Kernel
from vmfs.spec import NodeSpec, Spec, SpecError, toml

NODE = '[[node]]\nmemory = "1G"\ncpus = "0-1"\n'
FIRST = '[[node]]\nmemory = "1G"\ncpus = 0\ndistances = [10, 21]\n'
SECOND = '[[node]]\nmemory = "1G"\ncpus = [1]\ndistances = [21, 10]\n'
TWO_NODES = FIRST + SECOND
CONTRACT = {"article", "laptop", "tiny", "x86-32", "octo", "cxl", "huge"}


@pytest.fixture
def described(tmp_path):
    def load(text, **options):
        path = tmp_path / "box.toml"
        path.write_text(text)
        return spec.load(path, **options)

    return load


def test_the_built_in_machines_are_those_promised():
    assert set(spec.builtin()) >= CONTRACT


@pytest.mark.parametrize(
    ("name", "nodes", "gib", "cpus"),
    [("article", 2, 32, 8), ("octo", 8, 2048, 128), ("huge", 16, 65536, 1024), ("laptop", 1, 16, 8)],
)
def test_a_built_in_machine_has_its_size(name, nodes, gib, cpus):
    machine = spec.load(name)
    assert (len(machine.nodes), machine.memory_bytes >> 30, len(machine.cpus)) == (nodes, gib, cpus)


@pytest.mark.parametrize("name", sorted(CONTRACT))
def test_the_text_of_a_built_in_machine_describes_it(name, described):
    assert described(spec.text(name)).nodes == spec.load(name).nodes


def test_a_file_names_its_machine(described):
    assert described(NODE).name == "box"
    assert described('name = "other"\n' + NODE).name == "other"


def test_kernel_and_seed_of_the_caller_go_first(described):
    machine = described('kernel = "5.10"\nseed = 3\n' + NODE, kernel="7.2", seed=9)
    assert (machine.kernel.release, machine.seed) == ((7, 2), 9)
    assert described('kernel = "5.10"\nseed = 3\n' + NODE).kernel.release == (5, 10)


def test_distances_default_to_those_of_a_machine_without_slit(described):
    assert described(NODE + '[[node]]\nmemory = "1G"\n').distances(1) == (20, 10)


@pytest.mark.parametrize(
    ("text", "size"), [("4096", 4096), ("164K", 164 << 10), ("1t", 1 << 40), ("3G", 3 << 30)]
)
def test_sizes_are_binary(text, size):
    assert spec.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "1.5G", "-1M", "12Q", "G", "1 G B"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(SpecError, match="accepted: a number with K, M, G or T"):
        spec.parse_size(text)


@pytest.mark.parametrize(
    ("text", "key", "accepted"),
    [
        ("colour = 1\n" + NODE, "colour: unknown key", "accepted: name, description, kernel"),
        (NODE + "color = 1\n", "node: 0: color: unknown key", "accepted: memory, cpus, distances"),
        ('kernel = "4.18"\n' + NODE, "kernel: '4.18'", "accepted: 5.10, 6.1, 6.12, 7.2"),
        ("kernel = 6.1\n" + NODE, "kernel: 6.1", "accepted: text"),
        ('arch = "arm64"\n' + NODE, "arch: 'arm64'", "accepted: x86_64, i686"),
        ("seed = true\n" + NODE, "seed: True", "accepted: a whole number"),
        ("", "node: missing", "accepted: one [[node]] or more"),
        ("[node]\nmemory = 1\n", "node: {'memory': 1}", "accepted: tables in [[double brackets]]"),
        ('[[node]]\ncpus = "0"\n', "node: 0: memory: missing", "accepted keys: memory"),
        ('[[node]]\nmemory = "lots"\ncpus = 0\n', "node: 0: memory: 'lots' is no size", "as 512M"),
        ('[[node]]\nmemory = "1G"\ncpus = "3-1"\n', "cpus: '3-1' is no range", "accepted: from low to high"),
        ('[[node]]\nmemory = "64M"\ncpus = 0\n', "node 0: memory: 64M", "accepted: 128M or more"),
        ('[[node]]\nmemory = "1G"\ncpus = "1"\n', "no CPU 0", "accepted: a machine boots on CPU 0"),
        (NODE + NODE, "CPU [0] is given twice", "accepted: each CPU once"),
        (TWO_NODES.replace("21, 10", "21"), "node 1: distances: 1 of them", "accepted: 2, one a node"),
        (TWO_NODES.replace("21, 10", "21, 11"), "node 1: distances: 11 to node 1", "10 to itself"),
        (TWO_NODES.replace("10, 21", "10, 9"), "node 0: distances: 9 to node 1", "11 to 255 to another"),
        (TWO_NODES.replace("10, 21", "10, 256"), "256 to node 1", "11 to 255 to another"),
        ('arch = "i686"\n' + TWO_NODES, "node: 2 of them", "accepted on i686: 1"),
        ('arch = "i686"\n[[node]]\nmemory = "8G"\ncpus = 0\n', "8G in all", "accepted on i686: 4G"),
        ('[hugepages]\nsizes = ["16M"]\n' + NODE, "hugepages.sizes: 16M", "accepted: 1G, 2M"),
        ('[hugepages]\ndefault = "4M"\n' + NODE, "hugepages.default: 4M", "accepted: one of hugepages.sizes"),
        ('[hugepages.pool]\n"2M" = 513\n' + NODE, "hugepages.pool: 1026M in all", "the nodes' 1G"),
        ('movablecore = "1G"\n' + NODE, "movablecore: 1G", "accepted: less than the nodes' 1G"),
        ('initrd = "1G"\n' + NODE, "initrd: 1G", "accepted: up to 256M, a quarter of node 0"),
        (NODE + '[[swap]]\nsize = "1G"\n', "swap: 0: name: missing", "accepted keys: size, name"),
        (NODE + '[[swap]]\nsize = 4096\nname = "a"\n', "swap 0: size: 4096", "accepted: 8K or more"),
        (NODE + '[[swap]]\nsize = "1G"\nname = "a"\n' * 2, "swap 0: name: 'a' twice", "each area once"),
        (NODE + '[[swap]]\nsize = "1G"\nname = "a"\npriority = -1\n', "priority: -1", "accepted: 0 to 32767"),
        (NODE + '[[task]]\nanon = "1G"\n', "task: 0: name: missing", ""),
        (NODE + '[[task]]\nname = "a"\nanon = "2G"\n', "task: 2G in all", "no more than memory and swap, 1G"),
        (NODE + '[[task]]\nname = "a"\nnice = 3\n', "task 'a': nice: unknown", "accepted: anon, file, shmem"),
        ('[page_cache]\nsize = "2G"\n' + NODE, "page_cache.size: 2G", "no more than the nodes' 1G"),
        ('[cpu]\nmodel = "z80"\n' + NODE, "cpu.model: no processor 'z80'", "accepted: qemu-tcg"),
        ("[cpu]\nsockets = 3\n" + NODE, "cpu.sockets: 3", "accepted: 1 to 2, the number of CPUs"),
        ("[cpu]\npossible = 1\n" + NODE, "cpu.possible: 1", "or 2 to 8192"),
        ('[firmware]\nmemory_below_4g = "8G"\n' + NODE, "firmware.memory_below_4g: 8G", "64M to 4080M"),
        ("[sysctl]\nswappiness = 1.5\n" + NODE, "sysctl: swappiness: 1.5", "accepted: a number, text"),
        ("[[node]\n", "no TOML", ""),
    ],
)
def test_what_no_machine_fits_is_refused_in_one_line(described, tmp_path, text, key, accepted):
    with pytest.raises(SpecError) as refused:
        described(text)
    message = str(refused.value)
    assert message.startswith(f"{tmp_path}/box.toml: ")
    assert key in message
    assert accepted in message
    assert "\n" not in message


def test_an_unknown_machine_and_an_absent_file_are_refused():
    with pytest.raises(SpecError, match="no machine 'artcle'; accepted: article, "):
        spec.load("artcle")
    with pytest.raises(SpecError, match=r"\./none\.toml: No such file or directory"):
        spec.load("./none.toml")


def test_a_machine_like_another_changes_what_it_names(described, tmp_path):
    (tmp_path / "base.toml").write_text("[sysctl]\nswappiness = 10\nstat_interval = 2\n" + NODE)
    machine = described('like = "./base.toml"\n[sysctl]\nswappiness = 20\n')
    assert machine.sysctl == {"swappiness": "20", "stat_interval": "2"}
    assert described('like = "article"\nseed = 4\n').nodes == spec.load("article").nodes


def test_machines_like_each_other_are_refused(described, tmp_path):
    (tmp_path / "other.toml").write_text('like = "./box.toml"\n')
    with pytest.raises(SpecError, match=r"like: box\.toml -> other\.toml -> box\.toml is a cycle"):
        described('like = "./other.toml"\n')


def test_a_constructed_description_checks_itself():
    with pytest.raises(SpecError, match="no CPU 0"):
        Spec("bare", Kernel.of((6, 1)), (NodeSpec(1 << 30),))
    assert Spec("bare", Kernel.of((6, 1), Arch.I386), (NodeSpec(1 << 30, (0,)),)).hugepage_sizes_kbytes == (
        4096,
    )


def test_every_key_is_documented():
    told = (Path(__file__).parents[1] / "docs/machines.md").read_text()
    tables = (toml.MACHINE, toml.NODE, toml.SWAP, toml.CPU, toml.HUGEPAGES, toml.FIRMWARE, toml.PAGE_CACHE)
    keys = {key for table in tables for key in table}
    assert {key for key in keys if f"`{key}`" not in told and f"[{key}" not in told} == set()
