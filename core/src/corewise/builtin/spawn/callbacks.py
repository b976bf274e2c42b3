"""What is to be done without the pool's lock: callbacks of futures, and what came for the log."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from corewise.builtin.spawn.futures import PoolFuture

__all__ = ["Callbacks"]


class Callbacks:
    """Keeps it until somebody who does not hold the lock runs it.

    The lock guards ``_under_way``, and is held by whoever adds; the deques are emptied without it.

    Args:
        lock: The pool's lock.
    """

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self._quick: deque[Callable[[], Any]] = deque()
        self._users: deque[PoolFuture] = deque()
        self._under_way = 0
        self._here = threading.local()

    def add(self, future: PoolFuture) -> None:
        """Have the callbacks of a future called. The lock is held."""
        if future.quick:
            self.add_quick(future.call_back)
        else:
            self._users.append(future)

    def add_quick(self, act: Callable[[], Any]) -> None:
        """Have something done that takes no time. The lock is held."""
        self._quick.append(act)
        self._under_way += 1

    def quick_wait(self) -> bool:
        """Return whether something quick waits for a thread."""
        return bool(self._quick)

    def users_wait(self) -> bool:
        """Return whether users' callbacks wait for a thread."""
        return bool(self._users)

    def run_quick(self) -> None:
        """Do what is quick; the lock is not held."""
        while self._quick:
            try:
                act = self._quick.popleft()
            except IndexError:  # another thread was faster
                return
            self._here.depth = self._depth() + 1
            try:
                act()
            finally:
                self._here.depth -= 1
                with self._lock:
                    self._under_way -= 1

    def run_users(self) -> None:
        """Call users' callbacks: in the pool's thread where there is one, since nobody else expects to run them."""
        while self._users:
            try:
                future = self._users.popleft()
            except IndexError:  # another thread was faster
                return
            future.call_back()

    def quick_elsewhere(self) -> bool:
        """Return whether another thread is about to do, or does, something quick."""
        return self._under_way > self._depth()

    def _depth(self) -> int:
        """Return how many of them the calling thread is in."""
        depth: int = getattr(self._here, "depth", 0)
        return depth
