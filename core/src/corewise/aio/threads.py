"""Requests of plain threads, which have no event loop of their own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Iterable
from contextvars import copy_context
from time import monotonic
from typing import Any

from corewise.aio.lane import Lane, Shared
from corewise.aio.queues import Reply, Request
from corewise.aio.results import deliverable
from corewise.errors import ClosedError, QueueFullError

__all__ = ["ThreadLane"]


class _Reply(concurrent.futures.Future[Any]):
    """What a submitting thread waits for; ``lane`` is where it takes up room, and guarded by that lane's lock."""

    lane: ThreadLane | None = None

    def cancel(self) -> bool:
        """Withdraw the request where it has not been sent."""
        cancelled = super().cancel()
        if cancelled and (lane := self.lane) is not None:
            lane.make_room([self])
        return cancelled


class ThreadLane(Lane):
    """A lane that any thread may put requests in.

    ``_changed`` guards ``_inbox``, ``_waiting``, ``_called`` and ``_closed``; all else belongs to the loop's thread.

    Args:
        loop: The event loop of a portal.
        shared: What it has in common with the other lanes.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, shared: Shared) -> None:
        super().__init__(loop, shared)
        self.simple = False
        self._changed = threading.Condition()
        self._inbox: list[Request] = []
        self._waiting = 0
        self._called = False
        self._closed = False

    def submit(self, item: Any) -> concurrent.futures.Future[Any]:
        """Queue an item; blocks while the queue is full, unless overflow is ``"raise"``."""
        reply = _Reply()
        request: Request = (item, reply, copy_context(), monotonic())
        with self._changed:
            self._await_room()
            self._waiting += 1
            reply.lane = self
            self._inbox.append(request)
            call, self._called = not self._called, True
        if call:
            self.loop.call_soon_threadsafe(self._receive)
        return reply

    def _await_room(self) -> None:
        options, name = self.shared.options, self.shared.calls.name
        while not self._closed and options.max_queue is not None and self._waiting >= options.max_queue:
            if options.overflow == "raise":
                raise QueueFullError(f"{name}: max_queue={options.max_queue} requests wait already")
            self._changed.wait()
        if self._closed:
            raise ClosedError(f"{name} is closed")

    def _receive(self) -> None:
        with self._changed:
            requests, self._inbox = self._inbox, []
            self._called = False
        for request in requests:
            try:
                self.add(request)
            except BaseException as error:  # noqa: BLE001 - the user's weight or key: its caller, and no other, hears of it
                for refused in self._admit([request]):  # none, where its caller has left
                    refused[1].set_exception(deliverable(error, self.shared.calls.name))

    def take(self) -> list[Request]:
        """Give a batch its requests, those that nobody cancelled: from now on nobody can."""
        return self._admit(super().take())

    def _admit(self, requests: list[Request]) -> list[Request]:
        """Count requests out of the queue."""
        self.make_room([request[1] for request in requests])
        return [
            request
            for request in requests
            if isinstance(request[1], concurrent.futures.Future) and request[1].set_running_or_notify_cancel()
        ]

    def make_room(self, replies: Iterable[Reply]) -> None:
        """Count requests out of the queue, each of them once. Any thread may call."""
        with self._changed:
            for reply in replies:
                if isinstance(reply, _Reply) and reply.lane is not None:
                    reply.lane = None
                    self._waiting -= 1
            self._changed.notify_all()

    def close(self, done: concurrent.futures.Future[None], *, drain: bool) -> None:
        """Send or fail what waits; threads that are blocked for room get ``ClosedError``."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._receive()
        super().close(done, drain=drain)
