"""Keeps ``os.fork`` out of the moments in which a worker has descriptors that no list of workers shows.

A forked child closes the descriptors of the workers that it finds. One that it does not find it would hold for as long
as it lives: its end of a lifeline, so that the worker would outlive the pool, and sockets.
"""

from __future__ import annotations

import os
import threading

__all__ = ["unforked"]

_LONGEST_WAIT = 5.0
"""Seconds that a fork waits: one that is about to take a lock, held by who starts a worker, must not wait for ever."""


class _Unforked:
    """A context that no other thread forks in; it may be entered again.

    ``_lock`` is what forks wait for. It comes after the lock of a pool, and nothing that a user wrote runs under it.
    ``_got`` says of each thread that forks whether it has the lock.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._got = threading.local()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def before(self) -> None:
        self._got.lock = self._lock.acquire(timeout=_LONGEST_WAIT)

    def after_in_parent(self) -> None:
        if self._got.lock:
            self._lock.release()

    def after_in_child(self) -> None:
        if self._got.lock:
            self._lock.release()
        else:
            self._lock = threading.RLock()


unforked: _Unforked = _Unforked()
os.register_at_fork(
    before=unforked.before, after_in_parent=unforked.after_in_parent, after_in_child=unforked.after_in_child
)
