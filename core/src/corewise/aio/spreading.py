"""Calls of asyncio programs on their way to the workers and back: many calls in one message, as long as they are short.

Calls that are made in one turn of an event loop leave together, and share the workers that have nothing to do. How
many travel in one message follows from how long they take in the worker, so a long call never holds up others.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable
from concurrent.futures import Future
from functools import partial
from typing import Any

from corewise.actor_pool import ActorPool
from corewise.aio.delivery import Call, Lane, deliver, fail, taken_apart
from corewise.aio.flow import PATIENCE, Flow, Place
from corewise.aio.remote import run_batch
from corewise.aio.splitting import joined, listed, splittable
from corewise.errors import ClosedError, WorkerDiedError
from corewise.executors.chunks import ChunkOutcome

__all__ = ["Spread"]


class Spread:
    """Spreads the calls of any number of event loops over the workers of an actor pool.

    ``_lock`` guards ``_lanes``, ``_flow``, ``_closed``, ``_dropping`` and ``_returning``, the event loop that will look
    again at calls that wait; it is held for a few steps and never while foreign code runs. ``_lanes`` is replaced and
    never changed, so that it can be read without it.

    Args:
        pool: The workers, each with its object.
        name: What messages call the object.
        asynchronous: Whether it has async methods. Several calls of one worker then run at once: where the executor
            can answer each by itself, up to ``CONCURRENT_CALLS``; elsewhere those that leave together.
    """

    def __init__(self, pool: ActorPool[Any], name: str, *, asynchronous: bool) -> None:
        self._pool = pool
        self._name = name
        self._lock = threading.Lock()
        self._lanes: dict[asyncio.AbstractEventLoop, Lane] = {}
        self._flow = Flow(
            pool.num_workers,
            overlapping=asynchronous and pool.defers,
            together=asynchronous and not pool.defers,
        )
        self._closed = False
        self._dropping = False
        self._idle = threading.Event()
        self._returning: asyncio.AbstractEventLoop | None = None
        self._here = threading.local()

    def call(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> asyncio.Future[Any]:
        """Call a method in the worker that is least busy; the call leaves at the end of this turn of the loop."""
        call = Call(self._lane(), method, ("call", method, args, kwargs), 0)
        self._leave(call)
        return call.reply

    def batch(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Awaitable[Any]:
        """Call a batch method: the items in its first argument are shared out, each worker does its part at once."""
        args = listed(args)
        if not args or not splittable(args[0]):
            return self._part(method, args, kwargs, 0, None)
        items = args[0]
        with self._lock:
            shares = self._flow.speeds.shares(method, len(items))
        if len(shares) == 1:
            return self._part(method, args, kwargs, len(items), None)
        start, sizes, replies = 0, [], []
        for index, size in enumerate(shares):
            if size:
                part = (items[start : start + size], *args[1:])
                replies.append(self._part(method, part, kwargs, size, index))
                sizes.append(size)
            start += size
        return replies[0] if len(replies) == 1 else self._joined(replies, sizes, method)

    async def _joined(self, replies: list[asyncio.Future[Any]], sizes: list[int], method: str) -> Any:
        return joined(await asyncio.gather(*replies), sizes, f"{self._name}.{method}")

    def _part(
        self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any], items: int, index: int | None
    ) -> asyncio.Future[Any]:
        call = Call(self._lane(), method, ("apply", run_batch, (method, args, kwargs)), items)
        if index is None:
            self._leave(call)
        else:
            message = [call]
            with self._lock:
                self._check_open()
                place = self._flow.places[index]
                self._flow.occupy(place, message, quick=False)
            self._submit(place, message)
        return call.reply

    def _lane(self) -> Lane:
        loop = asyncio.get_running_loop()
        lane = self._lanes.get(loop)
        if lane is None:
            lane = Lane(loop)
            with self._lock:
                kept = {other: kept for other, kept in self._lanes.items() if not other.is_closed()}
                self._lanes = {**kept, loop: lane}
        return lane

    def _leave(self, call: Call) -> None:
        self._check_open()
        lane = call.lane
        lane.leaving.append(call)
        if len(lane.leaving) == 1:
            lane.loop.call_soon(self._flush, lane)

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError(f"multiprocess({self._name}) is closed: no more calls can be made")

    def _flush(self, lane: Lane) -> None:
        calls, lane.leaving = lane.leaving, []
        with self._lock:
            dropping = self._dropping
            if not dropping:
                self._flow.queue.extend(calls)
        if dropping:
            fail(calls, ClosedError(f"multiprocess({self._name}) was closed before this call was sent"))
        else:
            self._send()

    def _send(self) -> None:
        """Hand out what there is room for. A chunk that is done at once does not come back here by itself."""
        if getattr(self._here, "sending", False):
            return
        self._here.sending = True
        try:
            while True:
                with self._lock:
                    taken = self._flow.take()
                    if taken is None:
                        self._note_idle()  # it may have dropped the last calls, which were cancelled
                if taken is None:
                    break
                self._submit(*taken)
        finally:
            self._here.sending = False
        self._come_back()

    def _come_back(self) -> None:
        """Have calls that wait for the answers of quick ones sent all the same, should these turn out to be slow."""
        with self._lock:
            if not self._flow.holding() or (self._returning is not None and self._returning.is_running()):
                return
            loops = (call.lane.loop for call in self._flow.queue)
            loop = self._returning = next((loop for loop in loops if loop.is_running()), None)
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # it has just been closed: nobody waits there any more
                loop.call_soon_threadsafe(loop.call_later, PATIENCE, self._on_patience_lost)

    def _on_patience_lost(self) -> None:
        with self._lock:
            self._returning = None
            self._flow.lose_patience()
        self._send()

    def _submit(self, place: Place, calls: list[Call]) -> None:
        try:
            operations = [call.operation for call in calls]
            if self._flow.together and len(calls) > 1:
                operations = [("together", operations)]
            future = self._pool.send(place.index, operations)
        except BaseException as error:  # noqa: BLE001 - its callers must hear of it, whatever it is
            self._free(place, calls)
            fail(calls, error)
            return
        future.add_done_callback(partial(self._done, place, calls))

    def _free(self, place: Place, calls: list[Call]) -> None:
        with self._lock:
            self._flow.free(place, calls)
            self._note_idle()

    def _note_idle(self) -> None:
        """Let who closes go on where nothing is left to do. The lock is held."""
        if self._closed and self._flow.idle():
            self._idle.set()

    def _done(self, place: Place, calls: list[Call], future: Future[ChunkOutcome]) -> None:
        error = ClosedError("the call was withdrawn") if future.cancelled() else future.exception()
        if error is not None:
            fail(calls, error)
        else:
            self._answered(place, calls, future.result())
        self._free(place, calls)
        self._send()

    def _answered(self, place: Place, calls: list[Call], outcome: ChunkOutcome) -> None:
        failures = outcome.failures or {}
        if self._flow.together and len(calls) > 1:
            if isinstance(failures.get(0), WorkerDiedError):
                self._again(calls)
                return
            outcome = taken_apart(outcome, len(calls))
        with self._lock:
            self._flow.learn(place, calls, outcome.seconds)
        deliver(calls, outcome)

    def _again(self, calls: list[Call]) -> None:
        """Make calls again one by one, to learn which of them ends its worker."""
        with self._lock:
            for call in calls:
                call.alone = True
            self._flow.queue.extendleft(reversed(calls))

    def close(self, *, drain: bool) -> None:
        """Take no more calls; wait for those that were made, or fail them with ``ClosedError``; end the workers.

        Any thread may call, again too, but none that an event loop runs in.
        """
        with self._lock:
            self._closed = True
            self._dropping = self._dropping or not drain
            waiting, under_way = ([], []) if drain else self._flow.drop()
            self._note_idle()
        fail(waiting, ClosedError(f"multiprocess({self._name}) was closed before this call was sent"))
        fail(under_way, ClosedError(f"multiprocess({self._name}) was closed before this call was answered"))
        if drain:
            self._idle.wait()
            self._pool.close()
            return
        try:
            self._pool.abandon()
        finally:
            self._idle.set()  # a thread cannot be ended: what it runs may never be answered
