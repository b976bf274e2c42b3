"""The lanes of a batcher: one per event loop, and one for plain threads."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import threading
import weakref

from corewise.aio.lane import Lane, Shared
from corewise.aio.portal import Portal
from corewise.aio.threads import ThreadLane

__all__ = ["Lanes"]

# Seconds after which closing looks again whether the event loop of a lane that it waits for still runs.
_LOOK_AGAIN = 0.1


class Lanes:
    """Finds, makes and closes lanes; ``_lock`` guards all attributes.

    Args:
        shared: What the lanes have in common.
    """

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self._lock = threading.Lock()
        self._by_loop: dict[asyncio.AbstractEventLoop, Lane] = {}
        self._portal: Portal | None = None
        self._thread_lane: ThreadLane | None = None

    def of(self, loop: asyncio.AbstractEventLoop) -> Lane:
        """Return the lane of an event loop, and forget those whose loops are closed."""
        with self._lock:
            lane = self._by_loop.get(loop)
            if lane is not None:
                return lane
            ended = [other for other in self._by_loop if other.is_closed()]
            abandoned = [self._by_loop.pop(other) for other in ended]
            lane = self._by_loop[loop] = Lane(loop, self.shared)
        for other in abandoned:
            other.abandon()
        return lane

    def of_threads(self) -> ThreadLane:
        """Return the lane of plain threads; it begins with the first call."""
        with self._lock:
            if self._thread_lane is None:
                self._portal = Portal(f"corewise-loop-{self.shared.calls.name}")
                self._thread_lane = ThreadLane(self._portal.loop, self.shared)
                # Whatever waits or runs keeps the lane alive, so this ends no loop that somebody waits for.
                weakref.finalize(self._thread_lane, self._portal.stop).atexit = False
            return self._thread_lane

    def all(self) -> list[Lane]:
        """Return the lanes that exist now."""
        with self._lock:
            lanes = list(self._by_loop.values())
            return [*lanes, self._thread_lane] if self._thread_lane is not None else lanes

    async def close(self, *, drain: bool) -> None:
        """Close every lane, each in its own event loop, and the portal."""
        await asyncio.gather(*(_close(lane, drain=drain) for lane in self.all()))
        with self._lock:
            portal = self._portal
        if portal is not None:
            portal.stop()
            portal.join()

    def close_soon(self, *, drain: bool) -> None:
        """Close every lane without waiting, which the code inside a batch must not."""
        for lane in self.all():
            with contextlib.suppress(RuntimeError):  # its event loop is closed
                lane.loop.call_soon_threadsafe(functools.partial(lane.close, concurrent.futures.Future(), drain=drain))


async def _close(lane: Lane, *, drain: bool) -> None:
    done: concurrent.futures.Future[None] = concurrent.futures.Future()
    if lane.loop is asyncio.get_running_loop():
        lane.close(done, drain=drain)
        await asyncio.wrap_future(done)
        return
    with contextlib.suppress(RuntimeError):  # its event loop is closed
        lane.loop.call_soon_threadsafe(functools.partial(lane.close, done, drain=drain))
    waiter = asyncio.wrap_future(done)
    while lane.loop.is_running() and not waiter.done():
        await asyncio.wait([waiter], timeout=_LOOK_AGAIN)
    if not waiter.done():  # the loop has ended or stands still, so its own thread does not touch the lane
        waiter.cancel()
        lane.abandon()
