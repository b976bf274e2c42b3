"""A function of a list of items, called with one item at a time."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import sys
import threading
import types
from asyncio import get_running_loop
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from contextvars import copy_context
from time import monotonic
from types import TracebackType
from typing import Any, Generic, Self, TypeAlias, TypeVar, Unpack, overload

import attrs

from corewise.aio.calls import Calls, inside
from corewise.aio.gate import Gate
from corewise.aio.instances import instance_parts
from corewise.aio.lane import Lane, Shared
from corewise.aio.lanes import Lanes
from corewise.aio.options import BatchOptions, BatchOptionsDict
from corewise.aio.queues import Request
from corewise.aio.results import deliverable
from corewise.aio.stats import BatchStats, Recorder
from corewise.errors import ClosedError, QueueFullError

__all__ = ["BatchFunction", "BatchedFunction"]

T = TypeVar("T")
R = TypeVar("R")

BatchFunction: TypeAlias = Callable[[list[T]], Awaitable[Iterable[R]] | Iterable[R] | AsyncIterable[R]]


class _NoLane:
    """Stands for the last caller's lane where there was no caller, or where there may be none any more."""

    loop = quick_loop = None
    simple = False


_NO_LANE = _NoLane()


class BatchedFunction(Generic[T, R]):
    """A batch function that is called with one item; concurrent calls travel together.

    All calls made in one turn of the event loop form a batch, and those made while a batch runs form the next one:
    there is no background task, and no timer unless ``max_delay`` is set. A blocking function runs in a thread. One
    object serves any number of event loops, one after the other or at once, and plain threads by ``submit``; batches
    form within one event loop, and ``max_concurrency`` holds over all of them.

    ``_lock`` guards ``_closed``, ``_nested`` and changes of ``_lane``, the lane of the event loop that called last.
    Reading ``_lane`` needs no lock: a lane is used only by the thread whose loop it names.

    Args:
        function: Takes a list of items; returns one result per item, in order: a list, a tuple, an array, an iterator,
            or an awaitable of one. An exception in place of a result is raised to that item's caller alone.
        name: What error messages call it; None for the function's own name.
        **options: As in ``BatchOptions``.

    Example:
        >>> import asyncio, corewise
        >>> async def lengths(texts: list[str]) -> list[int]:
        ...     return [len(text) for text in texts]
        >>> async def main() -> list[int]:
        ...     async with corewise.BatchedFunction(lengths) as length:
        ...         return await asyncio.gather(length("a"), length("bcd"))
        >>> asyncio.run(main())
        [1, 3]
    """

    __slots__ = ("__dict__", "__weakref__", "_lane")  # the rest is looked up less often

    __name__: str
    __qualname__: str
    __wrapped__: BatchFunction[T, R]

    def __init__(
        self, function: BatchFunction[T, R], *, name: str | None = None, **options: Unpack[BatchOptionsDict]
    ) -> None:
        self.options: BatchOptions = BatchOptions(**options)
        own_name = name or str(getattr(function, "__name__", type(function).__name__))
        self._shared = Shared(Calls(function, own_name), self.options, Gate(self.options.max_concurrency), Recorder())
        self._lock = threading.Lock()
        self._lanes = Lanes(self._shared)
        self._nested: Lanes | None = None
        self._lane: Lane | _NoLane = _NO_LANE
        self._closed = False
        functools.update_wrapper(self, function)

    def __call__(self, item: T) -> asyncio.Future[R]:
        """Queue an item and return the future of its result; to be called where an event loop runs.

        The item is on its way whether or not the future is awaited; cancelling the future withdraws it. Where a
        coroutine is wanted, as by ``asyncio.create_task``, use ``call``; where no event loop runs, ``submit``.

        Raises:
            ClosedError: When awaited: the batcher is closed.
            QueueFullError: When awaited: the queue is full and ``overflow`` is ``"raise"``.
            BatchResultError: When awaited: the function answered in the wrong shape.
        """
        loop = get_running_loop()
        lane = self._lane
        if lane.quick_loop is not loop and (lane.loop is not loop or not lane.simple or inside.get()):
            return self._call_slowly(item, loop)
        reply: asyncio.Future[R] = lane.reply()
        if lane.armed:
            lane.put((item, reply, None, 0.0))
        else:
            lane.put((item, reply, copy_context(), monotonic()))
            lane.arm()
        return reply

    async def call(self, item: T) -> R:
        """Do the same as calling the object, as a coroutine: for ``asyncio.create_task`` and task groups."""
        return await self(item)

    def submit(self, item: T) -> concurrent.futures.Future[R]:
        """Queue an item from a thread without event loop; blocks while the queue is full.

        The batches of all such threads run in one event loop of their own, in a background thread that starts with
        the first call and ends with closing.

        Raises:
            ClosedError: The batcher is closed.
            QueueFullError: The queue is full and ``overflow`` is ``"raise"``.
        """
        if self.is_running():
            lane = self._nested_lanes().of_threads()
        else:
            with self._lock:
                if self._closed:
                    raise ClosedError(f"{self._shared.calls.name} is closed")
                lane = self._lanes.of_threads()
        if inside.get():
            lane.nested = True
        return lane.submit(item)

    def stats(self) -> BatchStats:
        """Return the totals so far, and what waits and runs now."""
        most = self.options.max_queue
        lengths = [len(lane.queue) for lane in self._lanes.all()]
        queued = sum(lengths) if most is None else sum(min(length, most) for length in lengths)
        return self._shared.recorder.stats(
            queued=queued, blocked=sum(lengths) - queued, running=self._shared.gate.running()
        )

    async def aclose(self, *, drain: bool = True) -> None:
        """Refuse new calls, and return when nothing waits or runs any more; may be called again.

        Args:
            drain: Whether what waits and runs is finished; else it fails with ``ClosedError``. A blocking function
                that runs in a thread cannot be stopped: its callers are told, and nothing waits for it any more,
                the interpreter's exit included.
        """
        with self._lock:
            self._closed = True
            self._lane = _NO_LANE
        if self.is_running():
            self._lanes.close_soon(drain=drain)
            return
        await self._lanes.close(drain=drain)
        if self._nested is not None:
            await self._nested.close(drain=drain)
        if drain:
            await self._shared.calls.ended()
        self._shared.calls.close(abandon=not drain)

    def close(self, *, drain: bool = True) -> None:
        """Do the same as ``aclose`` in a thread without event loop, and block until it is done."""
        asyncio.run(self.aclose(drain=drain))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close; without draining where the body was cancelled or interrupted, for it must end soon."""
        await self.aclose(drain=kind is None or issubclass(kind, Exception))

    def is_running(self) -> bool:
        """Say whether the calling code runs inside a batch of this very function.

        Such a call must not wait for its turn, for the batch that makes it holds a slot until it is answered: it
        travels at once, whatever ``max_concurrency`` says. What the batch has started and left behind is no part of
        it any more when it has ended.
        """
        return self._shared.calls.is_running()

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type | None = None) -> BatchedFunction[Any, Any]: ...

    def __get__(self, instance: object | None, owner: type | None = None) -> BatchedFunction[Any, Any]:
        """Return the batcher of one instance, where the function is a method of a class."""
        if instance is None:
            return self
        return instance_parts(instance).get(self.__name__, functools.partial(self._bind, instance))

    def _bind(self, instance: object) -> BatchedFunction[Any, Any]:
        options = attrs.asdict(self.options, recurse=False)
        return BatchedFunction(types.MethodType(self.__wrapped__, instance), name=self.__qualname__, **options)

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Pickle by name where a decorator put this in the function's place, else by the function."""
        function = self.__wrapped__
        owner = getattr(function, "__self__", None)
        if owner is not None and instance_parts(owner).has(self):
            return getattr, (owner, self.__name__)
        if getattr(sys.modules.get(self.__module__), self.__qualname__, None) is self:
            return str(self.__qualname__)
        options = attrs.asdict(self.options, recurse=False)
        return functools.partial(BatchedFunction, name=self._shared.calls.name, **options), (function,)

    def _call_slowly(self, item: T, loop: asyncio.AbstractEventLoop) -> asyncio.Future[R]:
        """Queue an item that needs a closer look: at its event loop, at its place in the queue, at closing."""
        reply: asyncio.Future[R] = loop.create_future()
        lane = self._lane_for(loop)
        if lane is None:
            reply.set_exception(ClosedError(f"{self._shared.calls.name} is closed"))
        else:
            if inside.get():
                lane.nested = True
            self._add(lane, (item, reply, copy_context(), monotonic()))
        return reply

    def _lane_for(self, loop: asyncio.AbstractEventLoop) -> Lane | None:
        if self.is_running():
            return self._nested_lanes().of(loop)
        lane = self._lane
        if lane.loop is loop:
            return lane
        with self._lock:
            if self._closed:
                return None
            self._lane = self._lanes.of(loop)
            return self._lane

    def _add(self, lane: Lane, request: Request) -> None:
        if self.options.overflow == "raise" and not lane.has_room():
            waiting = f"max_queue={self.options.max_queue} requests wait already"
            request[1].set_exception(QueueFullError(f"{self._shared.calls.name}: {waiting}"))
            return
        try:
            lane.add(request)
        except Exception as error:  # noqa: BLE001 - the user's weight or key may raise anything: the caller's matter
            request[1].set_exception(deliverable(error, self._shared.calls.name))

    def _nested_lanes(self) -> Lanes:
        with self._lock:
            if self._nested is None:
                self._nested = Lanes(attrs.evolve(self._shared, gate=Gate(sys.maxsize)))
            return self._nested
