"""How a chunk that is under way is withdrawn: by a mark that its worker looks for when it takes its time.

Not by ``ray.cancel``: where that meets the end of the task, Ray's own check fails and ends the whole program with it
(seen with Ray 2.60.0; https://github.com/ray-project/ray/pull/54738 describes the race). It would not interrupt a call
that blocks either.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import time
from typing import Any

import attrs
from ray.experimental.internal_kv import _internal_kv_del as _delete
from ray.experimental.internal_kv import _internal_kv_get as _get
from ray.experimental.internal_kv import _internal_kv_put as _put

__all__ = ["ask", "forget", "install", "withdrawable"]

PATIENCE_SECONDS = 0.5
"""A chunk that takes longer is worth a look at the mark, and another after each such time: a look costs a message."""
NAMESPACE = b"corewise-withdrawn"
SIGNAL = signal.SIGRTMIN + 7
"""Wakes a call that blocks. Not SIGINT, which Ray blocks in its workers: Ctrl-C in a terminal is not for them."""


def ask(mark: bytes) -> None:
    """Ask the worker of a chunk to stop it; called by the executor."""
    _put(mark, b"1", namespace=NAMESPACE)


def forget(mark: bytes) -> None:
    """Take the mark away, when the chunk has ended; called by the executor."""
    _delete(mark, namespace=NAMESPACE)


def install() -> None:
    """Let this process, a worker, be interrupted for the chunk that is meant, and for no other."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(SIGNAL, _interrupt)


@contextmanager
def withdrawable(items: list[Any], mark: bytes, sent: float) -> Iterator[None]:
    """Run a chunk so that it ends when it was withdrawn: the items that have not begun are taken out of the list.

    Args:
        items: Its items.
        mark: What the executor sets.
        sent: The time of day when it was sent: one that waited long for a worker may have been withdrawn meanwhile.
    """
    if abs(time() - sent) > PATIENCE_SECONDS and _asked(mark):
        items.clear()
    _state.current = mark
    ended = threading.Event()
    interrupts = threading.current_thread() is threading.main_thread()
    threading.Thread(target=_watch, args=(items, mark, ended, interrupts), daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        _state.current = b""


@attrs.define
class _State:
    """The chunk that runs. ``current`` is written by the thread that runs it, ``meant`` by the one that watches it.

    Attributes:
        current: Its mark.
        meant: Mark of the chunk that is to be interrupted.
    """

    current: bytes = b""
    meant: bytes | None = None


_state = _State()


def _asked(mark: bytes) -> bool:
    return _get(mark, namespace=NAMESPACE) is not None


def _watch(items: list[Any], mark: bytes, ended: threading.Event, interrupts: bool) -> None:
    while not ended.wait(PATIENCE_SECONDS):
        if _asked(mark):
            items.clear()
            if interrupts:
                _state.meant = mark
                ident = threading.main_thread().ident
                if ident is not None:
                    signal.pthread_kill(ident, SIGNAL)
            return


def _interrupt(number: int, frame: Any) -> None:  # noqa: ARG001 - what a signal handler is given
    """End the item that runs; a chunk that has ended meanwhile is not meant."""
    if _state.meant == _state.current:
        raise KeyboardInterrupt
