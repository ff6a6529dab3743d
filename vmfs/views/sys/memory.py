"""/sys/devices/system/memory, as drivers/base/memory.c lays it out.

Every block is online and stays so: taking one offline answers as the kernel does when a page of it
cannot be moved.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from vmfs.kernel import Feature
from vmfs.mm.memory_block import ONLINE_TYPES, MemoryBlock, memory_blocks
from vmfs.views.entry import Dir, File, Link, top
from vmfs.views.kstrtox import kstrtobool, sysfs_streq
from vmfs.views.sys.device import UEVENT, bus

if TYPE_CHECKING:
    from vmfs.mm.machine import Machine


def auto_online_blocks_store(machine: Machine, data: bytes, _offset: int) -> int:
    found = [word for word in ONLINE_TYPES if sysfs_streq(data, word)]
    if not found:
        raise OSError(errno.EINVAL, "not an online type")
    machine.memory_hotplug.auto_online_blocks = found[0]
    return len(data)


def auto_online_blocks_load(machine: Machine, text: str) -> None:
    machine.memory_hotplug.auto_online_blocks = text.strip()


def state_store(_block: MemoryBlock, data: bytes, _offset: int) -> int:
    """EINVAL for what is no state and for the state it has already; EBUSY for offline."""
    raise OSError(errno.EBUSY if sysfs_streq(data, "offline") else errno.EINVAL, "the block stays online")


def online_store(block: MemoryBlock, data: bytes, _offset: int) -> int:
    """A boolean (drivers/base/core.c); the same state again is no error."""
    if not kstrtobool(data, block.machine.kernel):
        raise OSError(errno.EBUSY, "the block stays online")
    return len(data)


def valid_zones(block: MemoryBlock) -> str:
    """The zone of its pages; none where it spans two."""
    names = {zone.name for zone in block.zones}
    return f"{names.pop() if len(names) == 1 else 'none'}\n"


FILES: tuple[File[MemoryBlock] | Link[MemoryBlock], ...] = (
    File("online", lambda _: "1\n", online_store),
    File("phys_device", lambda _: "0\n"),
    File("phys_index", lambda block: f"{block.number:08x}\n"),
    File("removable", lambda _: "1\n"),
    File("state", lambda _: "online\n", state_store),
    Link("subsystem", lambda _: "../../../../bus/memory"),
    UEVENT,
    File("valid_zones", valid_zones),
)


def each_block(machine: Machine) -> Iterator[tuple[tuple[int], MemoryBlock]]:
    return (((number,), MemoryBlock(machine, number)) for number in memory_blocks(machine))


def links(block: MemoryBlock) -> Iterator[tuple[str, str]]:
    return ((f"node{nid}", f"../../node/node{nid}") for nid in block.nids)


DIRS: tuple[Dir[Any], ...] = (
    top(
        "/sys/devices/system/memory",
        File(
            "auto_online_blocks",
            lambda m: f"{m.memory_hotplug.auto_online_blocks}\n",
            auto_online_blocks_store,
            load=auto_online_blocks_load,
        ),
        File("block_size_bytes", lambda m: f"{m.hardware.memory_block_bytes:x}\n"),
        UEVENT,
        needs=Feature.SPARSEMEM,
    ),
    bus("memory", memory_blocks, Feature.SPARSEMEM),
    Dir("/sys/devices/system/memory/memory{}", FILES, each_block, Feature.SPARSEMEM, links),
)
