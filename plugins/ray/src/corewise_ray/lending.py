"""How ``concurrent.futures.wait`` and ``as_completed`` wait in a Ray task: within Ray, which lends the task's CPUs.

They wait for an event of their own, which they leave with every future. No public way leads there, so this follows the
names of the standard library, which are those of Python 3.2.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

__all__ = ["Waiter", "Waiters"]

Waiter = Callable[[float | None, Callable[[], object]], None]
"""Waits for so many seconds at most, unless the condition holds already."""
SLICE_SECONDS = 0.2
"""How long to wait at once: others than this executor may set the event."""


class Waiters(list[Any]):
    """Those who wait for one future, whose lock guards this."""

    def __init__(self, waiter: Waiter) -> None:
        super().__init__()
        self._waiter = waiter

    def append(self, waiting: Any) -> None:
        """Let one wait within Ray. The locks of all its futures are held, so none of them sets the event meanwhile."""
        if not isinstance(waiting.event, _LendingEvent):
            waiting.event = _LendingEvent(self._waiter)
        super().append(waiting)


class _LendingEvent(threading.Event):
    def __init__(self, waiter: Waiter) -> None:
        super().__init__()
        self._waiter = waiter

    def wait(self, timeout: float | None = None) -> bool:
        if threading.current_thread() is not threading.main_thread():
            return super().wait(timeout)
        deadline = None if timeout is None else monotonic() + timeout
        while not self.is_set():
            left = SLICE_SECONDS if deadline is None else min(SLICE_SECONDS, deadline - monotonic())
            if left <= 0:
                break
            self._waiter(left, self.is_set)
        return self.is_set()
