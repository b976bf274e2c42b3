"""A thread that writes checkpoints while a run has news: rows that wait for a slow item are safe all the same."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["Checkpoints"]

_INTERVAL = 1.0
"""Seconds between checkpoints: about as much work is repeated after a crash."""
_SHARE = 20
"""A checkpoint that takes long (a network disk) comes rarer: at most one part in twenty of the time goes there."""


class Checkpoints:
    """Calls ``save`` about once a second if something was written since.

    It is a context manager around each write: its lock is what the writer and ``save`` both hold.

    Args:
        save: Writes a checkpoint; called with the lock held. When it raises OSError, the next write raises that.
        interval: Seconds between checkpoints.
    """

    def __init__(self, save: Callable[[], None], interval: float = _INTERVAL) -> None:
        self._save = save
        self._interval = interval
        self._lock = threading.Lock()
        self._news = False
        self._trouble: OSError | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="corewise-checkpoints", daemon=True)
        self._thread.start()

    def __enter__(self) -> None:
        self._lock.acquire()
        self._news = True

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        if self._trouble is not None:
            raise self._trouble

    def _run(self) -> None:
        pause = self._interval
        while not self._ended.wait(pause):
            begin = time.monotonic()
            with self._lock:
                if self._news:
                    try:
                        self._save()
                    except OSError as error:
                        self._trouble = error
                        return
                    self._news = False
            pause = max(self._interval, _SHARE * (time.monotonic() - begin))

    def stop(self) -> None:
        """End the thread.

        Raises:
            OSError: A checkpoint could not be written.
        """
        self._ended.set()
        self._thread.join()
        if self._trouble is not None:
            raise self._trouble
