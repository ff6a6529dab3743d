"""`python -m tests.ordinary_user UID ARGUMENT...`: a vmfs command as somebody who is not root.

The interpreter may lie where only root can reach it, so everything is imported first.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    import logging.handlers  # noqa: F401
    import socket  # noqa: F401

    from vmfs import cli, spec
    from vmfs.adapters import clock, fuse, mount, unmount  # noqa: F401
    from vmfs.tree.boot import booted

    booted(spec.load("tiny"))
    _, uid, *arguments = sys.argv
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(int(uid))
        os.setuid(int(uid))
    sys.argv = ["vmfs", *arguments]
    cli.main()


if __name__ == "__main__":
    main()
