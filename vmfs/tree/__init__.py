"""The visible filesystem of one machine, for any transport.

Which rows there are is the views' matter; this package finds the row of a path, keeps the text it
rendered, and answers the errno that the kernel's procfs, sysctl or sysfs answers there.
"""

from vmfs.tree.entries import Directory, Entry, Leaf, Stat, Symlink
from vmfs.tree.handle import Handle
from vmfs.tree.policy import Caller
from vmfs.tree.tree import Tree

__all__ = ["Caller", "Directory", "Entry", "Handle", "Leaf", "Stat", "Symlink", "Tree"]
