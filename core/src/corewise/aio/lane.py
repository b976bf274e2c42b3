"""The requests of one event loop, on their way into batches."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
from collections.abc import Callable
from typing import Any

import attrs

from corewise.aio.batch import Batch
from corewise.aio.calls import Calls
from corewise.aio.gate import Gate
from corewise.aio.neighbours import meet
from corewise.aio.options import BatchOptions
from corewise.aio.patience import Patience
from corewise.aio.queues import Pile, Queue, Reply, Request, make_queue
from corewise.aio.results import fail
from corewise.aio.stats import Recorder
from corewise.errors import ClosedError

__all__ = ["Lane", "Shared"]

# Seconds after which a lane looks again whether the event loop that holds its slot still runs. Only a lane that waits
# for another event loop ever does so.
_LOOK_AGAIN = 0.25


@attrs.frozen(eq=False)
class Shared:
    """What the lanes of one batcher have in common; every part guards itself.

    Attributes:
        calls: The batch function.
        options: How requests become batches.
        gate: The slots for running batches.
        recorder: The totals.
    """

    calls: Calls
    options: BatchOptions
    gate: Gate
    recorder: Recorder


class Lane:
    """Requests of one event loop; touched only in the thread of that loop, so it needs no lock.

    ``armed`` says that something will flush the lane without being asked again: a callback of this turn, a timer, or
    the end of a batch. It is how a request costs one comparison where others came before it.

    Attributes:
        loop: The event loop.
        queue: The requests that wait.
        put: Adds a request to the queue.
        armed: Whether the lane will be flushed.
        simple: Whether a request needs no look at bounds and delays before it is queued; elsewhere each has its
            context.
        quick_loop: The event loop, while that is so and no request can come from the code of a running batch, this
            function's or another one's; else None.
        nested: Whether requests have come from the code of a running batch, so that each has to be looked at.
        reply: Makes the future that a caller waits for.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, shared: Shared) -> None:
        self.loop = loop
        self.shared = shared
        self.queue: Queue = make_queue(shared.options)
        self.put: Callable[[Request], None] = self.queue.append
        self.armed: bool = False
        self.simple: bool = isinstance(self.queue, Pile) and shared.options.overflow == "wait"
        self._idle_loop: asyncio.AbstractEventLoop | None = loop if self.simple else None
        self.quick_loop: asyncio.AbstractEventLoop | None = self._idle_loop
        self.nested: bool = False
        self.reply: Callable[[], asyncio.Future[Any]] = _reply_factory(loop)
        self._patience = Patience(shared.options.max_delay) if shared.options.max_delay else None
        self._running: set[Batch] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._look_again: asyncio.TimerHandle | None = None
        self._starting: Batch | None = None
        self._in_line = False
        self._purged = False
        self._closers: list[concurrent.futures.Future[None]] = []
        if meet(self):
            self.join_others()

    def join_others(self) -> None:
        """Look at where each request comes from, for another function's batches run in this event loop, too."""
        self._idle_loop = self.quick_loop = None

    def arm(self) -> None:
        """Have what waits sent when this turn of the event loop is over, or as soon as it may."""
        self.armed = True
        if self._patience is None:
            self._start()
        else:
            self.loop.call_soon(self.flush)

    def wake(self) -> None:
        """Have the lane flushed soon. Any thread may call."""
        with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody waits there any more
            self.loop.call_soon_threadsafe(self.flush)

    def has_room(self) -> bool:
        """Say whether ``max_queue`` lets another request in, the callers that left not counted."""
        most = self.shared.options.max_queue
        if most is None or len(self.queue) < most:
            return True
        if not self._purged:  # once per turn: else each refusal would look at the whole queue
            self._purged = True
            self.loop.call_soon(self._purge_again)
            self.queue.purge()
        return len(self.queue) < most

    def _purge_again(self) -> None:
        self._purged = False

    def add(self, request: Request) -> None:
        """Queue a request; what the user's weight or key raise comes out here."""
        self.put(request)
        if not self.armed or (self._timer is not None and self.queue.full()):
            self._stop_timer()
            self.arm()

    def flush(self) -> None:
        """Start a batch for what waits, if one may start now, and make sure that the rest is flushed later."""
        if not self.queue:
            self._rest()
        elif self._patience is None or self._ripe(self._patience):
            self._start()

    def _start(self) -> None:
        if self._starting is not None:  # its batch takes what waits, and flushes again
            return
        batch = Batch(self)
        if not self.shared.gate.enter(batch):
            self._wait_in_line()
            return
        self._starting = batch
        self._running.add(batch)
        batch.start(self.queue.first()[2])

    def take(self) -> list[Request]:
        """Give a batch that has begun its requests; none where all have been withdrawn."""
        self._starting = self.quick_loop = None
        queue = self.queue
        if not queue:
            self._rest()
            return []
        requests = queue.take(due=self._patience is None or self._patience.over(queue.first()[3]))
        if queue:
            self.flush()
        else:
            self._rest()
        return requests

    def _rest(self) -> None:
        self.armed = False
        if self._in_line:
            self._leave_line()
        if self._closers:
            self._settle()

    def _ripe(self, patience: Patience) -> bool:
        if self._closers or self.queue.full():
            return True
        left = patience.left(self.queue.first()[3], len(self.queue), idle=not self._running)
        if left <= 0:
            return True
        if self._timer is None:
            self._timer = self.loop.call_later(left, self._on_timer)
        return False

    def _on_timer(self) -> None:
        self._stop_timer()
        if self.queue:
            self._start()
        else:
            self._rest()

    def _stop_timer(self) -> None:
        if self._timer is not None and self._patience is not None:
            self._timer.cancel()
            self._timer = None
            self._patience.learn(len(self.queue))

    def _wait_in_line(self) -> None:
        self._in_line = True
        if self._look_again is None and self.shared.gate.foreign(self):
            self._look_again = self.loop.call_later(_LOOK_AGAIN, self._on_look_again)

    def _on_look_again(self) -> None:
        self._look_again = None
        self.flush()

    def _leave_line(self) -> None:
        if self._look_again is not None:
            self._look_again.cancel()
            self._look_again = None
        self._in_line = False
        self.shared.gate.quit(self)

    def finished(self, batch: Batch) -> None:
        """Take note that a batch has ended, and send the next one."""
        self._running.discard(batch)
        if not self._running:
            self.quick_loop = self._idle_loop
        if self._starting is batch:  # cancelled before it took anything
            self._starting = None
        if self.armed and self._timer is None:
            if self.loop.is_closed():  # the batch was thrown away with its event loop
                self.abandon()
            else:
                self.flush()
        elif self._closers:
            self._settle()

    def close(self, done: concurrent.futures.Future[None], *, drain: bool) -> None:
        """Send what waits, or fail it and what runs; `done` gets a result when nothing is left."""
        self._closers.append(done)
        self._stop_timer()
        if not drain:
            fail(self._drain(), ClosedError(f"{self.shared.calls.name} was closed before this request was sent"))
            for batch in tuple(self._running):
                batch.cancel()
        self.flush()

    def abandon(self) -> None:
        """Fail everything, for the event loop has ended or stands still; called instead of ``close``."""
        name = self.shared.calls.name
        fail(self._drain(), ClosedError(f"the event loop of this call of {name} has ended"), quietly=True)
        self.armed = False
        for batch in tuple(self._running):
            batch.abandon()

    def _drain(self) -> list[Reply]:
        return [request[1] for request in self.queue.drain()]

    def _settle(self) -> None:
        if not self._running and not self.queue:
            closers, self._closers = self._closers, []
            for done in closers:
                if not done.done():
                    done.set_result(None)


def _reply_factory(loop: asyncio.AbstractEventLoop) -> Callable[[], asyncio.Future[Any]]:
    """Return the quickest way to make a future: asyncio's own loops make no other than ``asyncio.Future``."""
    if getattr(type(loop), "create_future", None) is asyncio.BaseEventLoop.create_future:
        return functools.partial(asyncio.Future, loop=loop)
    return loop.create_future
