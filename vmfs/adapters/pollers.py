"""Who sleeps in poll(2), and what wakes them.

With a clock that runs by itself nobody might ask for the time while all sleep, so as long as somebody
does a thread lets the machine live on. Otherwise whatever moves the machine comes as a request, and
they are looked after behind each.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmfs.tree import Handle, Tree

INTERVAL_SECONDS = 0.1


class Pollers:
    """`wake` and `forget` use up the token that one poll(2) left behind."""

    def __init__(self, tree: Tree, wake: Callable[[int], None], forget: Callable[[int], None]) -> None:
        self._tree = tree
        self._wake = wake
        self._forget = forget
        self._lock = threading.Lock()
        self._asleep: dict[Handle, int] = {}
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def sleep(self, handle: Handle, token: int) -> None:
        """A poll(2) of this open file waits; it asks again once it is woken."""
        with self._lock:
            if old := self._asleep.pop(handle, 0):
                self._forget(old)
            self._asleep[handle] = token
        if self._thread is None and self._tree.elapsed is not None:
            self._thread = threading.Thread(target=self._watch, name="poll", daemon=True)
            self._thread.start()

    def look(self) -> None:
        """Wake those whose events have come."""
        if not self._asleep:
            return
        with self._lock:
            for handle in [handle for handle in self._asleep if handle.wakes()]:
                self._wake(self._asleep.pop(handle))

    def close(self, handle: Handle) -> None:
        with self._lock:
            if token := self._asleep.pop(handle, 0):
                self._forget(token)

    def stop(self) -> None:
        """The mount ends: nothing may be woken any more."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(INTERVAL_SECONDS):
            if self._asleep:
                self._tree.live()
                self.look()
