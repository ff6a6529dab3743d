"""Slab caches, from slabinfo and what /sys/kernel/slab adds."""

from __future__ import annotations

import re
from collections.abc import Mapping

from vmfs.capture.context import Capture
from vmfs.capture.parse_slabinfo import CacheLine
from vmfs.capture.text import Text
from vmfs.mm.snapshot import SlabState

_SLAB = "sys/kernel/slab"
_RECLAIMABLE = re.compile(
    r"dentry|buffer_head|radix_tree_node|xfs_ili|.*_inode_cache|.*inode_info|.*_inode|inode_cache"
    r"|kmalloc-rcl-.*|ext4_(extent_status|groupinfo.*)|jbd2_.*|mb_cache_entry|dquot|mbcache"
)
"""SLAB_RECLAIM_ACCOUNT, by name: what is left to go by where /sys/kernel/slab is missing."""


def read_caches(capture: Capture, lines: list[CacheLine], known: Mapping[str, SlabState]) -> list[SlabState]:
    """In slabinfo's order. `known`: caches of the same release, for what slabinfo does not tell."""
    return [_cache(capture, line, known.get(line.name)) for line in lines]


def _cache(capture: Capture, line: CacheLine, known: SlabState | None) -> SlabState:
    folder = f"{_SLAB}/{line.name}"
    reclaimable = capture.parse(f"{folder}/reclaim_account", Text.value)
    object_size = capture.parse(f"{folder}/object_size", Text.value)
    align = capture.parse(f"{folder}/align", Text.value)
    if known is None or known.size != line.size:
        guess = bool(_RECLAIMABLE.fullmatch(line.name))
        known = SlabState(
            line.name, line.size, 0, 0, 0, 0, 0, known.reclaimable if known else guess, line.size
        )
    return SlabState(
        name=line.name,
        size=line.size,
        objects_per_slab=line.objects_per_slab,
        order=line.order,
        active_objs=line.active_objs,
        num_objs=line.num_objs,
        num_slabs=line.num_slabs,
        reclaimable=known.reclaimable if reclaimable is None else bool(reclaimable),
        object_size=min(object_size or known.object_size, line.size),
        align=align or known.align,
    )
