"""How many batches of one function run at once, whatever event loops they run in."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from corewise.aio.batch import Batch
    from corewise.aio.lane import Lane

__all__ = ["Gate"]


class Gate:
    """Slots for running batches, and the lanes that wait for one in the order of their asking.

    ``_lock`` guards ``_inside`` and ``_line``; it is held for a few steps and never while foreign code runs. A batch
    whose event loop stands still, and a waiting lane whose loop does, hold up nobody: they are passed over.

    Args:
        slots: How many batches may run at once.
    """

    def __init__(self, slots: int) -> None:
        self._lock = threading.Lock()
        self._slots = slots
        self._inside: set[Batch] = set()
        self._line: deque[Lane] = deque()

    def enter(self, batch: Batch) -> bool:
        """Take a slot for `batch`, or put its lane in the line, which is then flushed when its turn comes."""
        lane = batch.lane
        with self._lock:
            if not self._line and len(self._inside) < self._slots:
                self._inside.add(batch)
                return True
            self._inside = {other for other in self._inside if other.alive()}
            if len(self._inside) >= self._slots or self._head() not in {lane, None}:
                if lane not in self._line:
                    self._line.append(lane)
                return False
            if self._line:
                self._line.popleft()
            self._inside.add(batch)
            following = self._next()
        if following is not None:
            following.wake()
        return True

    def leave(self, batch: Batch, *, elsewhere: bool = False) -> None:
        """Give the slot back and wake the lane whose turn it is.

        Args:
            batch: What has ended.
            elsewhere: Whether the calling thread is not the one of the batch's event loop, in which case the batch's
                own lane has to be woken too.
        """
        with self._lock:
            self._inside.discard(batch)
            following = self._next() if self._line else None
        if following is not None and (elsewhere or following is not batch.lane):
            following.wake()

    def quit(self, lane: Lane) -> None:
        """Take a lane that wants no slot any more out of the line."""
        with self._lock:
            if lane not in self._line:
                return
            self._line.remove(lane)
            following = self._next()
        if following is not None:
            following.wake()

    def foreign(self, lane: Lane) -> bool:
        """Say whether another lane stands between this one and its slot."""
        with self._lock:
            return any(other is not lane for other in self._line) or any(b.lane is not lane for b in self._inside)

    def running(self) -> int:
        """Return how many batches run."""
        with self._lock:
            return len(self._inside)

    def _head(self) -> Lane | None:
        while self._line and not self._line[0].loop.is_running():
            self._line.popleft()
        return self._line[0] if self._line else None

    def _next(self) -> Lane | None:
        return self._head() if self._line and len(self._inside) < self._slots else None
