"""`vmfs run`: a command for which the simulated machine is the machine it runs on.

The daemon keeps the mounts it was born with; the command's are a copy of them, with the machine bound
over the host's files. So the daemon never reads its own.
"""

from vmfs.namespace.launch import enter, run
from vmfs.namespace.paths import WrongPath
from vmfs.namespace.spaces import NamespaceError

__all__ = ["NamespaceError", "WrongPath", "enter", "run"]
