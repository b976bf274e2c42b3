"""The calls that wait for the workers to start: closing lets them be made first."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator

__all__ = ["Callers"]

LOOK_SECONDS = 0.1
"""How often who waits for callers looks whether their event loops still run: one that stops tells nobody."""


class Callers:
    """Calls from when somebody makes them until they are on their way to a worker.

    ``_changed`` guards ``_waiting``, the event loop of each.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: dict[object, asyncio.AbstractEventLoop] = {}

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Count the call that is made within; it is on its way with what else leaves in that turn of the loop."""
        token, loop = object(), asyncio.get_running_loop()
        with self._changed:
            self._waiting[token] = loop
        try:
            yield
        except BaseException:
            self._gone(token)
            raise
        loop.call_soon(self._gone, token)

    def _gone(self, token: object) -> None:
        with self._changed:
            del self._waiting[token]
            self._changed.notify_all()

    def wait(self) -> None:
        """Wait until no call of a running event loop is counted; none that an event loop runs in may do so."""
        with self._changed:
            while any(loop.is_running() for loop in self._waiting.values()):
                self._changed.wait(LOOK_SECONDS)
