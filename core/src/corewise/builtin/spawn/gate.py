"""What ``concurrent.futures.wait`` takes for the condition of a pool's future."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from corewise.builtin.spawn.core import Core

__all__ = ["Gate"]


class Gate:
    """Keeps a future as it is while ``wait`` or ``as_completed`` looks at it; the pool never waits for them.

    These hold the conditions of all their futures while they read states and leave their waiters there. They take them
    in the order of the futures' ids, which is safe as long as each future has a condition of its own. What the pool
    has to change meanwhile, it leaves here, and whoever lets go changes it. So an interrupt that strikes in ``wait``
    and leaves this held holds up one future, not the pool, and only until the same thread waits for it again.

    ``_lock`` is held by whoever looks, and by whoever changes the future. ``_late`` is appended to and emptied under
    the pool's lock; it is read without: what is left here is tried again after it was left, and after ``_lock`` was
    released, so one of the two sees the other.
    """

    __slots__ = ("_core", "_late", "_lock")

    def __init__(self, core: Core) -> None:
        self._core = core
        self._lock = threading.RLock()
        self._late: deque[Callable[[], None]] = deque()

    def owned(self) -> bool:
        """Whether the calling thread holds it."""
        owned: bool = self._lock._is_owned()  # type: ignore[attr-defined]  # noqa: SLF001 - no public way to ask
        return owned

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Keep the future as it is. Nobody does so twice but after an interrupt."""
        return self.owned() or self._lock.acquire(blocking, timeout)

    def release(self) -> None:
        """Let it change again."""
        self._lock.release()
        if self._late:
            with self._core.lock:
                self._catch_up()
            self._core.run_after()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def notify_all(self) -> None:
        """Wake nobody: nobody waits on it."""

    def perform(self, change: Callable[[], None]) -> None:
        """Change the future: now, or as soon as nobody looks at it. The pool's lock is held."""
        self._late.append(change)
        self._catch_up()

    def _catch_up(self) -> None:
        while self._late and not self.owned() and self._lock.acquire(blocking=False):
            try:
                self._late.popleft()()
            finally:
                self._lock.release()
