"""The state that a freshly booted kernel shows on described hardware.

The order is a kernel's: firmware's memory map, zones, memblock, the page allocator's limits, then
what a running kernel has allocated. Each step is a module; `boot` puts them together.
"""

from vmfs.boot.machine import boot

__all__ = ["boot"]
