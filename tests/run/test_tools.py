"""Tools as they come, on a machine where a lot has happened: what they print is what the model counts."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import time
from functools import cache
from xml.etree import ElementTree as ET

import pytest

from tests.run.running import ENVIRONMENT, HUGEPAGES, REPOSITORY, command, loaded, loaded_twin, output, twin
from vmfs.tree import Tree

KB = 1024
MB = 1024 * KB
PAGE = 4096
NODE = "/sys/devices/system/node"


@cache
def tree() -> Tree:
    return loaded_twin()


def table(path: str = "/proc/meminfo", of: Tree | None = None) -> dict[str, int]:
    """Numbers by their labels, in the unit of the file."""
    found = re.findall(r"^(?:Node \d+ )?([\w()]+):?\s+(\d+)", (of or tree()).read(path), re.MULTILINE)
    return {name: int(value) for name, value in found}


def memory() -> dict[str, int]:
    """meminfo, beside the numbers that the model itself counts."""
    machine = tree().machine
    found = table()
    assert found["MemTotal"] == machine.totalram_pages * 4
    assert found["MemFree"] == machine.free_pages * 4
    return found


def numbers(text: str) -> list[int]:
    return [int(word) for word in re.findall(r"\d+", text)]


def line(text: str, pattern: str) -> str:
    """The one line that matches."""
    found = [each for each in text.splitlines() if re.search(pattern, each)]
    assert len(found) == 1, (pattern, text)
    return found[0]


def cached() -> int:
    found = memory()
    return found["Buffers"] + found["Cached"] + found["SReclaimable"]


def test_both_machines_are_the_same() -> None:
    files = ("/proc/meminfo", "/proc/zoneinfo", "/proc/slabinfo", "/proc/vmstat", "/proc/stat")
    boot = re.compile("^btime .*", re.MULTILINE)  # the host's, as /proc/uptime
    shown = loaded(f"cat {' '.join(files)}")
    assert boot.sub("", shown) == boot.sub("", "".join(tree().read(path) for path in files))
    assert all(memory()[key] > 0 for key in ("MemAvailable", "Cached", "Dirty", "AnonPages", "SwapFree"))


# procps


def test_free() -> None:
    shown = loaded("free -b")
    found = memory()
    total, _used, free, shared, buff_cache, available = numbers(line(shown, "^Mem:"))
    assert [total, free, shared] == [found[key] * KB for key in ("MemTotal", "MemFree", "Shmem")]
    assert (buff_cache, available) == (cached() * KB, found["MemAvailable"] * KB)
    assert numbers(line(shown, "^Swap:"))[::2] == [found["SwapTotal"] * KB, found["SwapFree"] * KB]


def test_vmstat() -> None:
    found = memory()
    columns = numbers(loaded("vmstat").splitlines()[2])
    assert columns[2:6] == [
        found["SwapTotal"] - found["SwapFree"],
        found["MemFree"],
        found["Buffers"],
        found["Cached"] + found["SReclaimable"],
    ]


def test_vmstat_s() -> None:
    shown = {
        what: int(number) for number, what in re.findall(r"^ *(\d+) (.*)$", loaded("vmstat -s"), re.MULTILINE)
    }
    found = memory()
    assert shown["K total memory"] == found["MemTotal"]
    assert shown["K free memory"] == found["MemFree"]
    assert shown["K active memory"] == found["Active"]
    assert shown["K inactive memory"] == found["Inactive"]
    assert shown["K total swap"] == found["SwapTotal"]
    assert [value for what, value in shown.items() if "paged in" in what] == [table("/proc/vmstat")["pgpgin"]]


def slabs() -> dict[str, list[int]]:
    """Active and total objects, object size, objects and pages a slab."""
    rows = [row.split() for row in tree().read("/proc/slabinfo").splitlines()[2:]]
    return {row[0]: [int(number) for number in row[1:6]] for row in rows}


def test_vmstat_m() -> None:
    rows = [row.split() for row in loaded("vmstat -m").splitlines()]
    shown = {row[0]: [int(number) for number in row[1:5]] for row in rows if row and row[0] != "Cache"}
    assert shown == {name: [*row[:3], row[3]] for name, row in slabs().items()}
    assert shown["dentry"][0] >= 100000


def test_slabtop() -> None:
    shown = loaded("slabtop -o")
    active, total = (sum(row[i] for row in slabs().values()) for i in (0, 1))
    assert numbers(line(shown, "Total Objects").partition(":")[2])[:2] == [active, total]
    assert numbers(line(shown, r" dentry *$"))[:2] == slabs()["dentry"][:2][::-1]


def test_top() -> None:
    shown = loaded("top -bn1 | head -8")
    found = memory()
    total, free = re.findall(r"([\d.]+) (?:total|free)", line(shown, "^MiB Mem"))
    assert (float(total), float(free)) == pytest.approx(
        (found["MemTotal"] / KB, found["MemFree"] / KB), abs=0.05
    )
    assert float(re.findall(r"([\d.]+) avail", shown)[0]) == pytest.approx(
        found["MemAvailable"] / KB, abs=0.05
    )


def test_sysctl_a() -> None:
    shown = dict(row.split(" = ", 1) for row in loaded("sysctl -a 2>/dev/null | grep ^vm[.]").splitlines())
    told = {name: tree().stat(f"/proc/sys/vm/{name}") for name in tree().listdir("/proc/sys/vm")}
    names = [name for name, found in told.items() if found.st_mode & 0o400 and found.st_size]
    assert sorted(shown) == sorted(f"vm.{name}" for name in names)
    for name in names:
        assert shown[f"vm.{name}"] == tree().read(f"/proc/sys/vm/{name}").rstrip("\n"), name


def test_sysctl_w() -> None:
    shown = output("sysctl -w vm.nr_hugepages=1024 && cat /proc/meminfo")
    same = twin()
    same.write("/proc/sys/vm/nr_hugepages", "1024\n")
    assert shown == "vm.nr_hugepages = 1024\n" + same.read("/proc/meminfo")


def test_sysctl_refuses_what_the_kernel_refuses() -> None:
    shown = output("sysctl -w vm.swappiness=abc 2>&1; sysctl -n vm.swappiness")
    assert "Invalid argument" in shown
    assert shown.endswith("\n60\n")


def test_sysctl_p() -> None:
    shown = output(
        "printf 'vm.swappiness=11\\nvm/dirty_ratio = 33\\n' | sysctl -p - >/dev/null"
        " && cat /proc/sys/vm/swappiness /proc/sys/vm/dirty_ratio"
    )
    assert shown == "11\n33\n"


def test_sysctl_system() -> None:
    # keys of the host's own files may be refused; this one is the machine's
    shown = output(
        "mount -t tmpfs none /etc/sysctl.d && echo vm.swappiness=12 > /etc/sysctl.d/60.conf"
        " && { sysctl --system >/dev/null 2>&1 || true; } && cat /proc/sys/vm/swappiness"
    )
    assert shown == "12\n"


# numactl


def test_numactl_hardware() -> None:
    shown = loaded("numactl -H")
    for node in tree().machine.nodes:
        kept = table(f"{NODE}/node{node.nid}/meminfo")
        assert numbers(line(shown, f"^node {node.nid} cpus"))[1:] == list(node.cpus)
        assert numbers(line(shown, f"^node {node.nid} size"))[1] == kept["MemTotal"] // KB
        assert (
            numbers(line(shown, f"^node {node.nid} free"))[1]
            == kept["MemFree"] // KB
            == node.free_pages // 256
        )
        assert numbers(line(shown, rf"^ *{node.nid}: "))[1:] == list(node.distances)


def test_numactl_show() -> None:
    shown = output("numactl --show; numactl --membind=1 --physcpubind=2,5 numactl --show")
    assert re.findall(r"^(?:physcpubind|nodebind|membind): (.*)$", shown, re.MULTILINE) == [
        "0 1 2 3 4 5 6 7 ",
        "0 1 ",
        "0 1 ",
        "2 5 ",
        "0 1 ",
        "1 ",
    ]
    assert re.findall(r"^policy: (.*)$", shown, re.MULTILINE) == ["default", "bind"]


def test_numactl_refuses_a_node_that_is_not_there() -> None:
    assert "2" in output("numactl --membind=2 true 2>&1 || true")


def test_numastat() -> None:
    shown = loaded("numastat")
    for name in ("numa_hit", "numa_miss", "local_node", "other_node"):
        kept = [table(f"{NODE}/node{node.nid}/numastat")[name] for node in tree().machine.nodes]
        assert numbers(line(shown, f"^{name}"))[:2] == kept


def test_numastat_m() -> None:
    shown = loaded("numastat -m 2>/dev/null")
    for name in ("MemTotal", "MemFree", "FilePages", "AnonPages", "HugePages_Total"):
        *nodes, total = [float(number) for number in re.findall(r"[\d.]+", line(shown, f"^{name} "))]
        kept = [table(f"{NODE}/node{n.nid}/meminfo")[name] for n in tree().machine.nodes]
        unit = 2 * KB if name == "HugePages_Total" else 1  # it prints these as megabytes too
        assert nodes == pytest.approx([value * unit / KB for value in kept], abs=0.006)
        assert total == pytest.approx(sum(kept) * unit / KB, abs=0.011)


# util-linux


def test_lscpu() -> None:
    shown = json.loads(output("lscpu -J"))["lscpu"]
    found = {row["field"]: row["data"] for row in flat(shown)}
    hardware = tree().machine.hardware
    assert int(found["CPU(s):"]) == len(hardware.online_cpus) == 8
    assert found["NUMA node1 CPU(s):"] == "4-7"
    assert found["Socket(s):"] == "2"
    assert output("lscpu -p=cpu,node | grep -v '#'").split() == [f"{cpu},{cpu // 4}" for cpu in range(8)]


def flat(rows: list[dict]) -> list[dict]:
    return [each for row in rows for each in (row, *flat(row.get("children", [])))]


def test_lsmem() -> None:
    shown = output("lsmem -b --summary=only")
    size = int(tree().read("/sys/devices/system/memory/block_size_bytes"), 16)
    blocks = [n for n in tree().listdir("/sys/devices/system/memory") if re.fullmatch(r"memory\d+", n)]
    assert numbers(line(shown, "^Memory block size")) == [size]
    assert numbers(line(shown, "^Total online memory")) == [len(blocks) * size]


def test_swapon_show() -> None:
    (area,) = tree().machine.swap_areas
    assert loaded("swapon --show --bytes --noheadings --raw").split() == [
        area.name,
        "file",
        str(area.pages * PAGE),
        str(area.used * PAGE),
        str(area.priority),
    ]


def test_dmesg() -> None:
    shown = output("echo 3 > /proc/sys/vm/drop_caches; dmesg --notime --decode")
    same = twin()
    texts = [record.partition(";")[2] for record in same.read("/dev/kmsg").splitlines() if record[0] != " "]
    lines = [row.partition(": ")[2] for row in shown.splitlines()]
    assert lines[: len(texts)] == texts
    assert len(texts) > 20
    assert [row for row in lines[len(texts) :] if "drop_caches: 3" in row]


# htop, atop, sysstat, nmon, dstat


def on_terminal(script: str, keys: str) -> str:
    """What is drawn on a terminal of 120 by 50 until the script ends."""
    arguments = command("run", "--machine", "article", "--clock", "manual", "--", "sh", "-c", script)
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(REPOSITORY)
        os.execve(arguments[0], arguments, ENVIRONMENT | {"COLUMNS": "120", "LINES": "50"})
    drawn, end = b"", time.monotonic() + 60
    while time.monotonic() < end:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                drawn += os.read(terminal, 65536)
            except OSError:  # the other side is closed
                break
        if b"Swp" in drawn:
            os.write(terminal, keys.encode())
    os.waitpid(pid, 0)
    os.close(terminal)
    return re.sub(r"\x1b(?:\[[\d;?]*[a-zA-Z]|[()]\w|[=>])", "", drawn.decode())


def test_htop() -> None:
    shown = on_terminal("stty cols 120 rows 50; htop", "q")
    total, swap = re.findall(r"(?:Mem|Swp)\[.*?/([\d.]+[KMGT])\]", shown)[:2]
    assert float(total.rstrip("G")) == pytest.approx(table(of=twin())["MemTotal"] / KB / KB, abs=0.06)
    assert swap == "0K"


def test_atop() -> None:
    shown = loaded("atop -P MEM,SWP,NUM 1 1")
    found = memory()
    page, total, free, cache, buffers = numbers(line(shown, "^MEM").split(" ", 6)[6])[:5]
    assert [size * page for size in (total, free, cache, buffers)] == [
        found[key] * KB for key in ("MemTotal", "MemFree", "Cached", "Buffers")
    ]
    assert numbers(line(shown, "^SWP").split(" ", 6)[6])[1:3] == [
        found["SwapTotal"] // 4,
        found["SwapFree"] // 4,
    ]
    nodes = [row for row in shown.splitlines() if row.startswith("NUM")]
    assert len(nodes) == len(tree().machine.nodes)


def averages(shown: str, heading: str) -> dict[str, float]:
    rows = [row.split() for row in shown.splitlines()]
    at = next(number for number, row in enumerate(rows) if heading in row)
    values = next(row for row in rows[at + 1 :] if row)
    return {name: float(value) for name, value in zip(rows[at][1:], values[1:], strict=True)}


def test_sar_memory() -> None:
    shown = averages(loaded("S_TIME_FORMAT=ISO sar -r 1 1"), "kbmemfree")
    found = memory()
    for column, key in (
        ("kbmemfree", "MemFree"),
        ("kbavail", "MemAvailable"),
        ("kbbuffers", "Buffers"),
        ("kbcached", "Cached"),
        ("kbcommit", "Committed_AS"),
        ("kbactive", "Active"),
        ("kbinact", "Inactive"),
        ("kbdirty", "Dirty"),
    ):
        assert shown[column] == found[key], column


def test_sar_huge_pages_and_swap() -> None:
    shown = loaded("export S_TIME_FORMAT=ISO; sar -H 1 1; sar -S 1 1; sar -B 1 1; sar -W 1 1")
    huge, swap = averages(shown, "kbhugfree"), averages(shown, "kbswpfree")
    assert (huge["kbhugfree"], huge["kbhugused"]) == (HUGEPAGES * 2 * KB, 0)
    assert (swap["kbswpfree"], swap["kbswpused"]) == (memory()["SwapFree"], 0)
    assert averages(shown, "pgpgin/s")["pgpgin/s"] == averages(shown, "pswpin/s")["pswpin/s"] == 0


def test_nmon() -> None:
    shown = loaded(
        "cd /tmp && file=$(mktemp) && nmon -F $file -s1 -c1; for again in $(seq 1200); do"
        " grep -q ^MEM,T0001 $file && break; sleep 0.1; done; cat $file; rm $file"
    )
    heads, values = (row.split(",") for row in shown.splitlines() if row.startswith("MEM,"))
    kept = dict(zip(heads, values, strict=True))
    found = memory()
    for column, key in (
        ("memtotal", "MemTotal"),
        ("memfree", "MemFree"),
        ("cached", "Cached"),
        ("active", "Active"),
    ):
        assert float(kept[column]) == pytest.approx(found[key] / KB, abs=0.06)
    assert "AAA,cpus,8" in shown


def test_dstat() -> None:
    shown = loaded("dstat --mem --swap --nocolor --noheaders 1 1").splitlines()[-1]
    units = {"B": 1, "k": KB, "M": MB, "G": KB * MB}
    used, free, buff, cach, swap_used, swap_free = (
        float(number) * units.get(unit, 1) for number, unit in re.findall(r"([\d.]+)([BkMG]?)", shown)
    )
    found = memory()
    kept = [found[key] * KB for key in ("MemFree", "Buffers", "Cached", "SwapFree")]
    assert [free, buff, cach, swap_free] == pytest.approx(kept, rel=0.05)  # it prints three digits
    assert (swap_used, used > 0) == (0, True)


# libhugetlbfs, smem, hwloc


def test_hugeadm_lists_pools() -> None:
    shown = [row.split() for row in loaded("hugeadm --pool-list").splitlines()[1:]]
    assert [row[:4] for row in shown] == [["2097152", "64", "64", "64"], ["1073741824", "0", "0", "0"]]


def test_hugeadm_sizes_a_pool() -> None:
    shown = output("hugeadm --pool-pages-min 2MB:200 2>/dev/null; cat /proc/meminfo")
    same = twin()
    same.write("/proc/sys/vm/nr_hugepages", "200\n")
    assert shown == same.read("/proc/meminfo")


def test_smem() -> None:
    shown = loaded("smem -w")
    found = memory()
    assert numbers(line(shown, "^free memory")) == [found["MemFree"], found["MemFree"], 0]


def test_lstopo() -> None:
    root = ET.fromstring(output("lstopo-no-graphics --of xml --no-io"))
    nodes = root.findall(".//object[@type='NUMANode']")
    same = twin()
    kept = {n.nid: table(f"{NODE}/node{n.nid}/meminfo", same)["MemTotal"] * KB for n in same.machine.nodes}
    assert {int(n.get("os_index", -1)): int(n.get("local_memory", 0)) for n in nodes} == kept
    assert len(root.findall(".//object[@type='PU']")) == 8
    assert len(root.findall(".//object[@type='Package']")) == 2


# agents


def test_psutil() -> None:
    shown = json.loads(
        loaded(
            "/usr/bin/python3 -W error -c 'import json, psutil; memory = psutil.virtual_memory()._asdict();"
            "print(json.dumps([memory, psutil.swap_memory()._asdict(), psutil.cpu_count()]))'"
        )
    )
    virtual, swap, cpus = shown
    found = memory()
    for name, key in (
        ("total", "MemTotal"),
        ("available", "MemAvailable"),
        ("free", "MemFree"),
        ("active", "Active"),
    ):
        assert virtual[name] == found[key] * KB
    assert virtual["slab"] == found["Slab"] * KB
    assert (swap["total"], swap["free"]) == (found["SwapTotal"] * KB, found["SwapFree"] * KB)
    assert cpus == 8


def test_glances() -> None:
    shown = loaded(
        "HOME=/tmp glances --stdout mem.total,mem.available,memswap.total --stop-after 1 2>/dev/null"
    )
    kept = dict(row.split(": ") for row in shown.splitlines() if ": " in row)
    found = memory()
    assert int(kept["mem.total"]) == found["MemTotal"] * KB
    assert int(kept["memswap.total"]) == found["SwapTotal"] * KB


METRICS = """
prometheus-node-exporter --web.listen-address=127.0.0.1:$port --collector.disable-defaults \
  --collector.meminfo --collector.meminfo_numa --collector.vmstat \
  --collector.zoneinfo --collector.buddyinfo >/dev/null 2>&1 &
for again in $(seq 100); do
  /usr/bin/python3 -c 'import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).read().decode())' \
    http://127.0.0.1:$port/metrics 2>/dev/null && break; sleep 0.1
done
kill $!
"""


def test_node_exporter() -> None:
    shown = loaded(f"port=$((20000 + $$ % 10000)); {METRICS}")
    values = dict(row.rsplit(" ", 1) for row in shown.splitlines() if row and row[0] != "#")
    found = memory()
    for key in ("MemTotal", "MemFree", "MemAvailable", "Cached", "Dirty", "SwapTotal"):
        assert float(values[f"node_memory_{key}_bytes"]) == found[key] * KB
    for node in tree().machine.nodes:
        assert float(values[f'node_memory_numa_MemFree{{node="{node.nid}"}}']) == node.free_pages * PAGE
    blocks = [
        float(v) * 2 ** int(k.split('size="')[1].split('"')[0])
        for k, v in values.items()
        if "buddyinfo_blocks" in k
    ]
    assert sum(blocks) == sum(z.free_pages for _, z in tree().machine.zones())
    assert float(values["node_vmstat_pgpgin"]) == table("/proc/vmstat")["pgpgin"]


COLLECTD = """
d=$(mktemp -d); cat > $d/conf <<END
Hostname "vm"
FQDNLookup false
BaseDir "$d"
PIDFile "$d/pid"
Interval 1
LoadPlugin csv
LoadPlugin memory
LoadPlugin swap
LoadPlugin hugepages
LoadPlugin numa
<Plugin csv>
  DataDir "$d/csv"
</Plugin>
END
timeout 40 collectd -f -C $d/conf >/dev/null 2>&1 & p=$!
for again in $(seq 300); do
  ls $d/csv/vm/memory/memory-free-* $d/csv/vm/hugepages-mm-2048Kb/*free* >/dev/null 2>&1 && break; sleep 0.1
done
kill $p; wait $p
cd $d/csv/vm; for f in $(find . -type f); do echo $f $(tail -n1 $f); done; rm -r $d
"""


def test_collectd() -> None:
    shown = loaded(COLLECTD)
    found = memory()
    for name, key in (
        ("free", "MemFree"),
        ("cached", "Cached"),
        ("buffered", "Buffers"),
        ("slab_recl", "SReclaimable"),
    ):
        assert float(line(shown, rf"memory/memory-{name}-").rsplit(",", 1)[1]) == found[key] * KB
    assert float(line(shown, r"mm-2048Kb/vmpage_number-free").rsplit(",", 1)[1]) == HUGEPAGES
    assert float(line(shown, r"swap/swap-free").rsplit(",", 1)[1]) == found["SwapFree"] * KB


def test_munin() -> None:
    shown = loaded("export MUNIN_LIBDIR=/usr/share/munin; cd $MUNIN_LIBDIR/plugins; ./memory; ./swap")
    kept = dict(row.split(".value ") for row in shown.splitlines() if ".value " in row)
    found = memory()
    for name, key in (
        ("free", "MemFree"),
        ("slab", "Slab"),
        ("page_tables", "PageTables"),
        ("committed", "Committed_AS"),
    ):
        assert int(kept[name]) == found[key] * KB
    assert int(kept["swap_in"]) == table("/proc/vmstat")["pswpin"]


def test_monitoring_plugins() -> None:
    shown = loaded("/usr/lib/nagios/plugins/check_swap -w 10% -c 5%")
    found = memory()
    assert shown.startswith("SWAP OK - 100% free")
    assert numbers(shown.partition("|swap=")[2])[0] // MB == found["SwapFree"] // KB


def test_earlyoom() -> None:
    shown = loaded("timeout 30 earlyoom --dryrun -r 1 2>&1 | head -n 3")
    found = memory()
    assert f"mem total: {found['MemTotal'] // KB} MiB, swap total: {found['SwapTotal'] // KB} MiB" in re.sub(
        " +", " ", shown
    )


# what asks the kernel instead of a file


def test_busybox_free() -> None:
    shown = loaded("busybox free -b")
    found = memory()
    total, _used, free, shared, _cache, available = numbers(line(shown, "Mem:"))
    assert [total, free, shared] == [found[key] * KB for key in ("MemTotal", "MemFree", "Shmem")]
    assert available == found["MemAvailable"] * KB
    assert numbers(line(shown, "Swap:"))[0] == found["SwapTotal"] * KB


def test_sysconf() -> None:
    machine = tree().machine
    assert loaded("getconf _PHYS_PAGES; getconf _AVPHYS_PAGES; getconf _NPROCESSORS_ONLN; nproc").split() == [
        str(machine.totalram_pages),
        str(machine.free_pages),
        "8",
        "8",
    ]


EACH = """
free -b; vmstat -s; vmstat -m; slabtop -o; sysctl -a 2>/dev/null | grep ^vm; numactl -H; numactl --show
numastat; numastat -m 2>/dev/null; lscpu; lsmem; lstopo-no-graphics --no-io; hugeadm --pool-list; smem -w
swapon --show; busybox free; dmesg --notime; grep Mems_allowed /proc/self/status; getconf _PHYS_PAGES
/usr/lib/nagios/plugins/check_swap -w 10% -c 5%; atop -P NUM 1 1 | grep -o ' 4096 .*'
/usr/bin/python3 -c 'import psutil; print(psutil.virtual_memory(), psutil.swap_memory())'
top -bn1 | sed -n 4,5p; vmstat | tail -n1 | cut -c7-40
dstat --mem --swap --nocolor --noheaders 1 1 | tail -n1
cd /usr/share/munin/plugins; export MUNIN_LIBDIR=/usr/share/munin; ./memory; ./swap
for option in r B H W S; do S_TIME_FORMAT=ISO sar -$option 1 1 | grep Average; done
"""


def test_as_root_they_print_the_same() -> None:
    if os.getuid():
        pytest.skip("only root can be root")
    as_root = loaded(EACH, as_root=True).splitlines()
    assert as_root == loaded(EACH).splitlines()
    assert len(as_root) > 500
