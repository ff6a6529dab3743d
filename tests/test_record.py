"""scripts/record, as far as it goes without a virtual machine."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from scripts.recording import cpio, disks, hardware, initramfs, linux, packages, qemu, steps, stream
from scripts.recording.__main__ import main
from scripts.recording.faults import Fault
from tests import recordings
from tests.conformance.dynamics import LOADS
from vmfs.spec.sizes import SpecError

TOP = Path(__file__).parent.parent
STEPS = initramfs.GUEST / "steps"
NUMBERS = steps.quantities(1024, 1024, 0, 2048)


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, arguments, prog_name="record")
    return result.exit_code, result.output.strip()


# The initramfs.


def test_busybox_unpacks_the_archive(tmp_path):
    entries = [
        cpio.folder("bin"),
        cpio.file("bin/probe", b"\x7fELF", 0o755),
        cpio.file("empty", b""),
        cpio.file("odd", b"12345"),
    ]
    subprocess.run(["busybox", "cpio", "-idm"], input=cpio.archive(entries), cwd=tmp_path, check=True)
    assert (tmp_path / "bin/probe").read_bytes() == b"\x7fELF"
    assert stat.S_IMODE((tmp_path / "bin/probe").stat().st_mode) == 0o755
    assert (tmp_path / "empty").read_bytes() == b""
    assert (tmp_path / "odd").read_bytes() == b"12345"


def test_the_archive_lists_the_console_as_a_device_of_root():
    archive = cpio.archive([cpio.folder("dev"), cpio.character_device("dev/console", 5, 1)])
    done = subprocess.run(["busybox", "cpio", "-itv"], input=archive, capture_output=True, check=True)
    assert [line.split()[:2] for line in done.stdout.decode().splitlines()] == [
        ["drwxr-xr-x", "0/0"],
        ["crw-------", "0/0"],
    ]
    console = archive[archive.rindex(b"070701", 0, archive.index(b"dev/console")) :]
    fields = [int(console[6 + 8 * n : 14 + 8 * n], 16) for n in range(13)]
    assert fields[9:11] == [5, 1]  # c_rdevmajor, c_rdevminor


def module(path: Path, depends: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x7fELF\0license=GPL\0depends=" + depends.encode() + b"\0intree=Y\0")


@pytest.fixture
def kernel(tmp_path):
    """A tree as a package has it: ext4 and a disk driver as modules, the rest built in."""
    modules = tmp_path / "lib/modules/7.9.1-amd64"
    module(modules / "kernel/fs/ext4/ext4.ko", "jbd2,crc16,mbcache")
    module(modules / "kernel/fs/jbd2/jbd2.ko", "")
    module(modules / "kernel/fs/mbcache.ko", "")
    module(modules / "kernel/lib/crc16.ko", "")
    module(modules / "kernel/drivers/block/virtio-blk.ko", "")
    (modules / "modules.builtin").write_text(
        "kernel/drivers/virtio/virtio_pci.ko\nkernel/drivers/char/virtio_console.ko\n"
    )
    return linux.Linux(tmp_path / "vmlinuz", "7.9.1-amd64", is_64_bit=True, modules=modules)


def test_modules_come_after_what_they_depend_on(kernel):
    names = [name for name, _ in linux.module_files(kernel)]
    assert names == ["virtio_blk.ko", "jbd2.ko", "crc16.ko", "mbcache.ko", "ext4.ko"]
    assert kernel.release == "7.9"


def test_a_module_that_is_missing_is_named(kernel):
    (kernel.modules / "kernel/lib/crc16.ko").unlink()
    with pytest.raises(Fault, match=r"7\.9\.1-amd64: no module crc16"):
        linux.module_files(kernel)


def test_the_version_of_an_image_is_in_its_header(tmp_path):
    image = bytearray(4096)
    image[0x202:0x206], image[0x20E:0x210], image[0x236] = b"HdrS", (0x300).to_bytes(2, "little"), 1
    image[0x500:0x520] = b"6.1.0-53-amd64 (debian@lists) #1"
    (tmp_path / "vmlinuz").write_bytes(image)
    found = linux.find(str(tmp_path / "vmlinuz"), tmp_path)
    assert (found.version, found.release, found.is_64_bit) == ("6.1.0-53-amd64", "6.1", True)


@pytest.mark.parametrize(
    ("xloadflags", "config", "huge_kbytes"),
    [
        (1, "", 2048),
        (0, "", 4096),
        (0, "CONFIG_HIGHMEM4G=y\n# CONFIG_X86_PAE is not set\n", 4096),
        (0, "CONFIG_HIGHMEM64G=y\nCONFIG_X86_PAE=y\n", 2048),
    ],
    ids=["64 bits", "32 bits, no config", "32 bits", "PAE"],
)
def test_the_size_of_huge_pages_follows_from_the_page_tables(tmp_path, xloadflags, config, huge_kbytes):
    image = bytearray(kernel_image("6.1.0-50-686"))
    image[0x236] = xloadflags
    (tmp_path / "vmlinuz").write_bytes(image)
    if config:
        (tmp_path / "config-6.1.0-50-686").write_text(config)
    assert linux.find(str(tmp_path / "vmlinuz"), tmp_path).huge_kbytes == huge_kbytes


# The disks.


def test_the_swap_disk_is_one(tmp_path):
    disk = disks.swap_disk(tmp_path / "swap")
    done = subprocess.run(["swaplabel", disk], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert disk.stat().st_size == 1 << 30


# The steps and their tables.


def test_the_steps_are_those_of_the_kept_recordings():
    program = steps.compiled(STEPS, NUMBERS, steps.Extent())
    assert steps.names(program) == [step.name for step in recordings.steps(recordings.load("small-6.1"))]


def test_conformance_can_repeat_what_every_load_says():
    program = steps.compiled(STEPS, NUMBERS, steps.Extent())
    said = [line.split("\t")[1] for line in program.splitlines() if line.startswith("say\t")]
    assert said
    assert [words for words in said if not any(re.match(pattern, words) for pattern, _ in LOADS)] == []


def test_quick_ends_before_memory_is_filled():
    program = steps.compiled(STEPS, NUMBERS, steps.Extent(loads=False, write_table=False))
    assert steps.names(program)[-1] == "20-dirty_ratio"
    assert "swapon" not in program
    assert program.splitlines()[-3:] == ["calls", "sequences", "dmesg\tdmesg-end.txt"]


def test_every_verb_is_known_to_the_program_inside():
    source = (initramfs.GUEST / "run.c").read_text()
    table = source.split("VERBS[] = {")[1].split("\n};")[0]
    assert set(re.findall(r'\{ "([a-z-]+)",', table)) == set(steps.VERBS)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("wrote /proc/x 1", r"steps, line 2: no verb 'wrote'; there are step, say, write, "),
        ("write /proc/x", r"line 2: write takes 2 arguments, not 1"),
        ("exit now", r"line 2: exit takes 0 arguments, not 1"),
        ("write /proc/x {pol}", r"line 2: no number \{pol\}; there are min_free_kbytes, "),
        ("step boot", r"line 2: 'boot' names no step; accepted: two digits and a word"),
    ],
)
def test_a_wrong_line_of_the_steps_is_named(tmp_path, line, message):
    (tmp_path / "steps").write_text(f"# mine\n{line}\n")
    with pytest.raises(Fault, match=message):
        steps.compiled(tmp_path / "steps", NUMBERS, steps.Extent())


def test_the_last_argument_is_the_rest_of_the_line(tmp_path):
    (tmp_path / "steps").write_text("step 00-a\n  write /proc/x 1 {pool}  3\n")
    program = steps.compiled(tmp_path / "steps", {"pool": 7}, steps.Extent(write_table=False))
    assert program.splitlines()[:2] == ["step\t00-a", "write\t/proc/x\t1 7  3"]


def payloads_of_the_table() -> dict[str, list[tuple[str, bytes]]]:
    """Folder -> (`payload` or `large`, its bytes)."""
    tables, rows = {}, []
    for line in (initramfs.GUEST / "write_table").read_text().splitlines():
        word, _, rest = line.partition(" ")
        if word in ("payload", "large"):
            rows.append((word, recordings.unescape(rest)))
        elif word == "below":
            tables[rest], rows = rows, []
    return tables


@pytest.mark.parametrize(
    ("path", "costly"),
    [
        ("/proc/sys/vm/swappiness", False),
        ("/proc/sys/vm/min_free_kbytes", True),
        ("/sys/kernel/mm/ksm/run", False),
        ("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", True),
    ],
)
def test_the_table_has_the_payloads_of_the_kept_recordings(path, costly):
    table = recordings.writes_table(recordings.load("small-6.1"))
    recorded = [row.write.payload for row in table if row.write.path == path]
    folder = next(folder for folder in payloads_of_the_table() if path.startswith(folder))
    ours = payloads_of_the_table()[folder]
    assert [data for word, data in ours if not (costly and word == "large")] == recorded


def test_pools_of_the_steps_leave_room_for_each_other():
    for mebibytes in (384, 1024, 2048, 8192, 1 << 18):
        n = steps.quantities(mebibytes, mebibytes, 0, 2048)
        assert 0 < n["touched"] < n["mapped"] <= n["shrunk_pool"] + n["surplus"] < n["pool"]
        assert n["shrunk_pool"] < n["beyond"] <= n["shrunk_pool"] + n["surplus"]
        assert n["large_min_free_kbytes"] > n["min_free_kbytes"]
        assert n["anon"] + n["more_anon"] < mebibytes


def test_min_free_kbytes_stays_below_what_the_kernel_can_use(tmp_path):
    narrow = linux.Linux(tmp_path / "vmlinuz", "6.1.0-50-686", is_64_bit=False, modules=None)
    assert [narrow.low_mebibytes(mebibytes) for mebibytes in (512, 2048)] == [512, linux.LOWMEM_MEBIBYTES]
    assert steps.quantities(2048, 870, 0, 4096)["large_min_free_kbytes"] < (870 - 128) * 1024


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("kill -SEGV $$", "sh ended with signal SIGSEGV: the machine said nothing"),
        ("exit 3", "sh ended with exit code 3: the machine said nothing"),
        ("echo qemu: no memory >&2; exit 1", "qemu: no memory"),
    ],
)
def test_how_the_virtual_machine_failed_is_told(tmp_path, script, message):
    files = qemu.Files(tmp_path, tmp_path / "files")
    with pytest.raises(Fault, match=re.escape(message)):
        qemu.run(["sh", "-c", script], files, 1, print)


def test_a_machine_that_panicked_says_why(tmp_path):
    files = qemu.Files(tmp_path, tmp_path / "files")
    files.console.write_text("step 30\n[156.2] Kernel panic - not syncing: no memory\n[156.3] Offset: 0\n")
    assert files.last_words == "[156.2] Kernel panic - not syncing: no memory"
    files.console.write_text("record: /dev/vda: No such device\n[156.2] Kernel panic - not syncing\n")
    assert files.last_words == "/dev/vda: No such device"


# The hardware.


def test_nodes_become_words_of_qemu_and_of_the_recording():
    machine = hardware.numa(("896M:0-1", "1G:2,4", "0:3", "512M:"), ("1-0=17", "0-3=28"))
    words = machine.qemu()
    assert words[:4] == ["-m", "2432M", "-smp", "5"]
    assert "node,nodeid=1,memdev=m1,cpus=2,cpus=4" in words
    assert "node,nodeid=2,cpus=3" in words
    assert "node,nodeid=3,memdev=m3" in words
    assert [word for word in words if word.startswith("dist")] == [
        "dist,src=0,dst=1,val=17",
        "dist,src=0,dst=2,val=20",
        "dist,src=0,dst=3,val=28",
        "dist,src=1,dst=2,val=20",
        "dist,src=1,dst=3,val=20",
        "dist,src=2,dst=3,val=20",
    ]
    assert str(machine) == (
        "-smp 5 -m 2432M; node 0: 896 MiB, CPUs 0-1; node 1: 1 GiB, CPUs 2,4; node 2: no memory, CPUs 3; "
        "node 3: 512 MiB, no CPUs; distances 0-1: 17, 0-3: 28"
    )


def test_the_host_keeps_no_memory_back():
    """Or it refuses a machine that is larger than itself, of which a recording touches little."""
    assert "memory-backend-ram,id=m0,size=262144M,reserve=off" in hardware.numa(("256G:0",), ()).qemu()
    words = hardware.flat("256G", 2).qemu()
    assert words[-3:] == ["memory-backend-ram,id=m,size=262144M,reserve=off", "-machine", "memory-backend=m"]


def test_a_flat_machine_is_described_as_the_kept_ones_are():
    said = qemu.description(hardware.flat("1G", 2), kvm=False)
    assert said == (recordings.load("small-6.1") / "meta/machine.txt").read_text()


def test_kvm_that_does_not_work_is_refused_before_anything_is_made(tmp_path, monkeypatch):
    (tmp_path / "vmlinuz").write_bytes(kernel_image("6.1.0-x"))
    monkeypatch.setattr(qemu, "kvm_works", lambda _: False)
    arguments = ["--kernel", str(tmp_path / "vmlinuz"), "--output", str(tmp_path / "out"), "--accel", "kvm"]
    said = CliRunner().invoke(main, arguments)
    assert (said.exit_code, said.output) == (
        1,
        "Error: --accel kvm: QEMU cannot use it here (/dev/kvm); accepted: auto, tcg\n",
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("nodes", "distances", "message"),
    [
        (("1G",), (), r"--node 1G: accepted: MEMORY:CPUS, as 1G:0-1"),
        (("1Q:0",), (), r"'1Q' is no size"),
        (("1G:0-x",), (), r"'0-x' is no list"),
        (("1G:0", "1G:2"), (), r"--node: the CPUs of all nodes are \[0, 2\]; accepted: each from 0 on once"),
        (("1G:",), (), r"--node: the CPUs of all nodes are \[\]"),
        (("1G:0", "100K:"), (), r"'100K' is no whole number of MiB"),
        (
            ("1G:0", "512M:", "1G:1"),
            (),
            r"nodes without CPUs after the others; accepted: such nodes last",
        ),
        (("128M:0", "128M:"), (), r"256 MiB of memory; accepted: 384 MiB or more"),
        (("1G:0", "1G:1"), ("0:1=20",), r"--distance 0:1=20: accepted: A-B=N"),
        (("1G:0", "1G:1"), ("0-2=20",), r"--distance 0-2=20: accepted: two of the nodes 0 to 1"),
        (("1G:0", "1G:1"), ("0-1=10",), r"--distance 0-1=10: accepted: 11 to 254"),
    ],
)
def test_impossible_hardware_is_refused(nodes, distances, message):
    with pytest.raises(SpecError, match=message):
        hardware.numa(nodes, distances)


# The command line.


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "Missing option '--kernel'"),
        (("--kernel", "x", "--memory", "1Q"), 2, "'1Q' is no size; accepted: a number with K, M, G or T"),
        (("--kernel", "x", "--cpus", "0"), 2, "--cpus 0: accepted: 1 or more"),
        (("--kernel", "x", "--node", "1G:0", "--memory", "1G"), 2, "--memory, --cpus: follow from --node"),
        (("--kernel", "x", "--distance", "0-1=20"), 2, "--distance: needs --node"),
        (("--kernel", "x", "--name", "a/b"), 2, "--name a/b: accepted: letters, digits, points and dashes"),
        (("--kernel", "/no/such/vmlinuz"), 1, "/no/such/vmlinuz: no such file; accepted: an image, a .deb"),
        (("--kernel", str(TOP / "LICENSE")), 1, "LICENSE: not an x86 kernel image (bzImage)"),
    ],
)
def test_a_wrong_argument_is_one_line(monkeypatch, tmp_path, arguments, code, message):
    monkeypatch.setattr("scripts.recording.__main__.CACHE", tmp_path)
    status, output = run(*arguments)
    last = output.splitlines()[-1]
    assert (status, last.startswith("Error: "), message in last) == (code, True, True), output


def test_missing_programs_are_named_with_their_packages(monkeypatch, tmp_path):
    monkeypatch.setattr(packages, "SEARCH_PATH", str(tmp_path))
    with pytest.raises(Fault) as fault:
        packages.need("qemu-system-x86_64", "gcc")
    assert str(fault.value) == (
        "not installed: qemu-system-x86_64, gcc; as root: apt-get install qemu-system-x86 gcc libc6-dev"
    )


def package(folder: Path, name: str, depends: str, files: dict[str, bytes]) -> Path:
    """A .deb."""
    root = folder / name
    (root / "DEBIAN").mkdir(parents=True)
    fields = {"Package": name, "Version": "1", "Architecture": "all", "Maintainer": "a", "Description": "b"}
    control = fields | ({"Depends": depends} if depends else {})
    (root / "DEBIAN/control").write_text("".join(f"{key}: {value}\n" for key, value in control.items()))
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    subprocess.run(["dpkg-deb", "--build", root, folder], check=True, stdout=subprocess.DEVNULL)
    return folder / f"{name}_1_all.deb"


def kernel_image(version: str) -> bytes:
    """The header of a bzImage."""
    head = bytearray(0x400)
    head[0x202:0x206] = b"HdrS"
    head[0x20E:0x210] = (0x100).to_bytes(2, "little")
    head[0x236] = 1
    return bytes(head[:0x300]) + f"{version} (a@b)\0".encode()


def test_a_kernel_is_found_in_the_packages_that_it_is_divided_into(tmp_path):
    """As Debian does since 7.2; beside the package, or from where apt-get finds them."""
    modules = "usr/lib/modules/7.2.13-x"
    package(tmp_path, "linux-binary-7.2.13-x", "", {f"{modules}/vmlinuz": kernel_image("7.2.13-x")})
    package(tmp_path, "linux-modules-7.2.13-x", "", {f"{modules}/kernel/fs/ext4/ext4.ko": b"ext4"})
    parts = "linux-base (>= 4), linux-binary-7.2.13-x (= 1), linux-modules-7.2.13-x (= 1)"
    package(tmp_path, "linux-image-7.2.13-x", parts, {})
    meta = package(tmp_path, "linux-image-x", "linux-image-7.2.13-x", {})
    found = linux.find(str(meta), tmp_path / "cache")
    assert (found.version, found.release, found.is_64_bit) == ("7.2.13-x", "7.2", True)
    assert (found.modules / "kernel/fs/ext4/ext4.ko").read_bytes() == b"ext4"


def test_a_package_without_a_kernel_is_refused(tmp_path):
    deb = package(tmp_path, "linux-doc", "linux-base", {"usr/share/doc/linux": b""})
    with pytest.raises(Fault, match="no kernel image in it; accepted"):
        linux.find(str(deb), tmp_path / "cache")


def test_the_script_runs_from_another_folder(tmp_path):
    done = subprocess.run(
        [TOP / "scripts/record", "--kernel", "none.deb"],
        cwd=tmp_path,
        env=os.environ | {"XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "none.deb" in done.stderr


# What the machine sends, and the recording made of it.


def sent(**files: bytes) -> bytes:
    return b"".join(b"%s %d\n%s" % (path.encode(), len(data), data) for path, data in files.items())


def test_the_stream_is_taken_apart():
    data = {"00-boot/proc/self/status": b"", "00-boot/actions": b"a 3\nb 4\n", "complete": b""}
    assert stream.parse(sent(**data)) == data
    assert stream.parse(sent(**data)[:-30]) == {"00-boot/proc/self/status": b""}


def test_a_machine_that_ended_early_is_told():
    with pytest.raises(Fault, match="ended before step 01-x was captured"):
        stream.check({"00-boot/actions": b""}, ["00-boot", "01-x"])
    with pytest.raises(Fault, match="ended before its last table"):
        stream.check({"00-boot/actions": b""}, ["00-boot"])


def test_a_recording_reads_as_the_kept_ones_do(tmp_path):
    write = b"write\t/proc/sys/vm/swappiness\t1\\n\topen=0\tret=-1\terr=EINVAL\n# a process exits\n"
    files = {"00-boot/actions": b"", "01-a/actions": write, "complete": b""}
    files |= {f"00-boot/{path}": b"x" for path in recordings.NEEDED}
    stream.write(files, "QEMU\n", tmp_path / "mine-1.tar.xz")
    recording = recordings.load(tmp_path / "mine-1.tar.xz")
    assert recording.name == "mine-1"
    assert [step.name for step in recordings.steps(recording)] == ["00-boot", "01-a"]
    assert (recording / "meta/machine.txt").read_text() == "QEMU\n"
    assert not (recording / "complete").exists()
    assert recordings.actions(recording / "01-a") == [
        recordings.Write("/proc/sys/vm/swappiness", b"1\n", "", -1, "EINVAL"),
        recordings.Load("a process exits"),
    ]


def test_the_same_stream_gives_the_same_archive(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        stream.write({"00-boot/actions": b"x"}, "QEMU\n", tmp_path / name / "same.tar.xz")
    assert (tmp_path / "a/same.tar.xz").read_bytes() == (tmp_path / "b/same.tar.xz").read_bytes()


def test_the_kept_recording_has_the_files_of_those_it_imitates():
    """Made by scripts/record: all that a recording of the same release has, but for each node's files."""

    def shape(name: str) -> set[str]:
        recording = recordings.load(name)
        paths = (str(path.relative_to(recording)) for path in recording.rglob("*") if path.is_file())
        return {re.sub(r"node\d+", "nodeN", path) for path in paths} - {"semantics/writes.tsv"}

    assert shape("trio-6.1") == shape("article-6.1")


# The document.


def test_the_document_shows_what_the_newest_release_changed():
    """`scripts/features --write` renews it."""
    done = subprocess.run([TOP / "scripts/features"], capture_output=True, text=True, check=True)
    assert done.stdout in (TOP / "docs/recording.md").read_text()
