"""How many objects SLUB puts into a slab, and how large the slab is (mm/slub.c)."""

from __future__ import annotations

from vmfs.mm.mmzone import MAX_PAGE_ORDER, PAGE_SHIFT, PAGE_SIZE

SLUB_MAX_ORDER = 3
LEFTOVER_FRACTIONS = (16, 8, 4)  # of a slab, that may be wasted


def calculate_order(size: int, cpus: int) -> int:
    """The order of a cache's slabs, for objects of `size` bytes on a machine with that many CPUs.

    The loop is the one up to 6.7. Later releases take fewer steps and come to the same order for
    every size a kernel uses.
    """
    per_slab = min(4 * (cpus.bit_length() + 1), _order_objects(SLUB_MAX_ORDER, size))
    for objects in range(per_slab, 1, -1):
        for fraction in LEFTOVER_FRACTIONS:
            order = _smallest_order(size, objects, fraction)
            if order <= SLUB_MAX_ORDER:
                return order
    return min(_smallest_order(size, 1, 1), MAX_PAGE_ORDER)


def objects_per_slab(size: int, order: int) -> int:
    return _order_objects(order, size)


def get_order(size: int) -> int:
    """The smallest order whose block holds `size` bytes."""
    return max(0, (size - 1) >> PAGE_SHIFT).bit_length()


def _order_objects(order: int, size: int) -> int:
    return (PAGE_SIZE << order) // size


def _smallest_order(size: int, objects: int, fraction: int) -> int:
    # calc_slab_order(): one beyond SLUB_MAX_ORDER where every order wastes more than that.
    order = get_order(objects * size)
    while order <= SLUB_MAX_ORDER and (PAGE_SIZE << order) % size > (PAGE_SIZE << order) // fraction:
        order += 1
    return order
