"""`python -m tests.run.as_user UID GID ARGUMENT...`: a vmfs command as an ordinary user.

The interpreter may lie where only root can reach it, so everything is imported before root is given up.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import pkgutil
import signal
import sys

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # a process of several threads gets no user namespace

PR_SET_DUMPABLE = 4
ROOMS = ("cli", "namespace", "adapters", "tree", "views", "control", "boot", "spec", "mm")
FOR_TESTS = "vmfs.adapters.fakefs"


def main() -> None:
    # Who runs the tests in the background may ignore them.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    import_everything()
    uid, gid, *arguments = sys.argv[1:]
    if os.getuid() == 0 and int(uid):
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)  # as after login: our own /proc/self is ours
        os.chdir("/")
    sys.argv = ["vmfs", *arguments]

    from vmfs import cli

    cli.main()


def import_everything() -> None:
    import logging.handlers  # noqa: F401

    from vmfs import scenario, spec
    from vmfs.tree.boot import booted

    for room in ROOMS:
        package = importlib.import_module(f"vmfs.{room}")
        for module in pkgutil.walk_packages(package.__path__, f"vmfs.{room}."):
            if module.name != FOR_TESTS:
                importlib.import_module(module.name)
    for name in spec.builtin():
        spec.load(name)
    scenario.load("leak")
    booted(spec.load("tiny")).read("/proc/meminfo")


if __name__ == "__main__":
    main()
