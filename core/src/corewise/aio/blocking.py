"""Threads for blocking batch functions, which no thread can be made to stop."""

from __future__ import annotations

import atexit
import concurrent.futures
import os
import queue
import threading
import weakref
from collections.abc import Callable
from contextvars import copy_context
from typing import Any, TypeAlias

__all__ = ["BlockingCalls"]

_Future: TypeAlias = concurrent.futures.Future[Any]
_Work: TypeAlias = tuple[_Future, Callable[[], Any]]

# What has to end before the interpreter does. Adding and discarding are atomic.
_awaited_at_exit: set[_Future] = set()


class BlockingCalls:
    """Runs functions in threads, as many as there are calls at once; a thread that is idle is used again.

    The threads of ``concurrent.futures`` hold up the interpreter's exit for ever where one of them hangs. These are
    daemons: the exit waits for the calls that run, save those that were abandoned. They end when this object is closed
    or forgotten.

    ``_lock`` guards ``_running``; all else guards itself.

    Args:
        name: Name of the threads.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._running: set[_Future] = set()
        self._work: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        weakref.finalize(self, self._work.put, None).atexit = False

    def start(self, function: Callable[[Any], Any], item: Any) -> _Future:
        """Call a function in a thread, in a copy of the caller's context; the call cannot be cancelled."""
        future: _Future = concurrent.futures.Future()
        future.set_running_or_notify_cancel()
        context = copy_context()
        if not self._idle.acquire(blocking=False):
            threading.Thread(target=_serve, args=(self._work, self._idle), name=self._name, daemon=True).start()
        with self._lock:
            self._running.add(future)
        _awaited_at_exit.add(future)
        future.add_done_callback(self._ended)
        self._work.put((future, lambda: context.run(function, item)))
        return future

    def _ended(self, future: _Future) -> None:
        _awaited_at_exit.discard(future)
        with self._lock:
            self._running.discard(future)

    def running(self) -> list[_Future]:
        """Return the calls that have not ended."""
        with self._lock:
            return list(self._running)

    def close(self, *, abandon: bool) -> None:
        """Let the threads end as soon as they are idle.

        Args:
            abandon: Whether the interpreter may exit while calls still run.
        """
        self._work.put(None)
        if abandon:
            _awaited_at_exit.difference_update(self.running())


def _serve(work: queue.SimpleQueue[_Work | None], idle: threading.Semaphore) -> None:
    while (task := work.get()) is not None:
        future, call = task
        _perform(future, call, idle)
        del task, future, call  # an idle thread keeps nothing alive
    work.put(None)  # for the next one


def _perform(future: _Future, call: Callable[[], Any], idle: threading.Semaphore) -> None:
    try:
        result = call()
    except BaseException as error:  # noqa: BLE001 - whoever waits for the future gets it
        idle.release()
        future.set_exception(error)
    else:
        idle.release()  # first, for who gets the result may call again at once
        future.set_result(result)


@atexit.register
def _wait_at_exit() -> None:
    concurrent.futures.wait(list(_awaited_at_exit))


os.register_at_fork(after_in_child=_awaited_at_exit.clear)  # the threads of these calls are not in the child
