"""Ends the item of this worker that runs too long: by an exception where it runs Python, with the process where not."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray.experimental.internal_kv import _internal_kv_del as _delete
from ray.experimental.internal_kv import _internal_kv_get as _get
from ray.experimental.internal_kv import _internal_kv_put as _put

from corewise.errors import ItemTimeoutError

__all__ = ["limited", "take_mark"]

GRACE_SECONDS = 1.0
"""How long an item may take to end when it is told to; then its process is ended."""
NAMESPACE = b"corewise"


@contextmanager
def limited(seconds: float | None, mark: bytes) -> Iterator[None]:
    """Raise ``ItemTimeoutError`` in what runs within after so many seconds; None for no limit.

    What goes on for ``GRACE_SECONDS`` more ends with the process, which leaves the mark for the executor to find. So
    does at once what runs in another than the main thread, where Python runs no signal handlers.
    """
    if seconds is None:
        yield
        return
    if threading.current_thread() is not threading.main_thread():
        with _watched(seconds, mark):
            yield
        return

    def expire(*_: Any) -> None:
        raise ItemTimeoutError(f"map: an item ran longer than item_timeout={seconds} seconds")

    before = signal.signal(signal.SIGALRM, expire)
    with _watched(seconds + GRACE_SECONDS, mark):
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


@contextmanager
def _watched(seconds: float, mark: bytes) -> Iterator[None]:
    watch = threading.Timer(seconds, _end_process, [mark])
    watch.daemon = True
    watch.start()
    try:
        yield
    finally:
        watch.cancel()


def take_mark(mark: bytes) -> bool:
    """Whether a worker ended itself with this mark; forgets it."""
    if _get(mark, namespace=NAMESPACE) is None:
        return False
    _delete(mark, namespace=NAMESPACE)
    return True


def _end_process(mark: bytes) -> None:
    _put(mark, b"1", namespace=NAMESPACE)
    os._exit(1)
