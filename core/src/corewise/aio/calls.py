"""Calling a batch function: on the event loop where it is asynchronous, in a thread of its own where it blocks."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from typing import Any, TypeAlias

from corewise.aio.blocking import BlockingCalls
from corewise.aio.queues import Request
from corewise.aio.results import collect, collect_async, deliverable

__all__ = ["Calls", "Mark", "inside", "outer_marks"]

# The token of a batch function while a batch holds a slot, then nothing: what was started in the batch keeps its
# context for ever. One is made per batch, and a class would cost five times as much.
Mark: TypeAlias = list[object]

# Marks of the batches that the running code was called by, outermost first, some of which may have ended.
inside: ContextVar[tuple[Mark, ...]] = ContextVar("corewise_inside_batches", default=())


class Calls:
    """A batch function, however it is written, as something that can be awaited.

    ``_lock`` guards the creation and the end of the threads.

    Attributes:
        name: What error messages call the function.
        blocking: Whether the function runs in a thread.
        token: Stands for the function in ``inside``.

    Args:
        function: Takes a list of items, returns as many results or an awaitable of them; an async generator may
            yield them.
        name: What error messages call it.
    """

    def __init__(self, function: Callable[[Any], Any], name: str) -> None:
        self.name = name
        self.function = function
        self.token: object = object()
        self.blocking: bool = not _is_async(function)
        self.on_loop: Callable[[Any], Awaitable[Any]] = self._iterate if _is_generator(function) else function
        self._lock = threading.Lock()
        self._threads: BlockingCalls | None = None

    async def _iterate(self, items: Sequence[Any]) -> list[Any]:
        return await collect_async(self.function(items))

    def is_running(self) -> bool:
        """Say whether the calling code runs inside a batch of this function that has not ended."""
        marks = inside.get()
        return bool(marks) and any(self.token in mark for mark in marks)

    def in_thread(self, items: Sequence[Any]) -> concurrent.futures.Future[Any]:
        """Start the function in a thread, in a copy of the caller's context."""
        with self._lock:
            if self._threads is None:
                self._threads = BlockingCalls(f"corewise-batch-{self.name}")
            return self._threads.start(self._call, items)

    def _call(self, items: Sequence[Any]) -> Any:
        try:
            return collect(self.function(items))
        except StopIteration as error:  # no future of asyncio accepts it: whoever waits would wait for ever
            raise deliverable(error, self.name) from error

    async def ended(self) -> None:
        """Wait for the threads whose callers have all left."""
        with self._lock:
            running = [] if self._threads is None else self._threads.running()
        await asyncio.gather(*map(asyncio.wrap_future, running), return_exceptions=True)

    def close(self, *, abandon: bool) -> None:
        """Let the threads end as soon as they are idle.

        Args:
            abandon: Whether the interpreter may exit while the function still runs.
        """
        with self._lock:
            threads, self._threads = self._threads, None
        if threads is not None:
            threads.close(abandon=abandon)


async def settle(future: concurrent.futures.Future[Any]) -> Any:
    """Wait for a thread's answer, and for what it is an awaitable of: a function may hide that it is asynchronous."""
    results = await asyncio.wrap_future(future)
    return await results if inspect.isawaitable(results) else results


def outer_marks(requests: Sequence[Request]) -> tuple[Mark, ...]:
    """Return the marks of the batches that wait for one of these requests.

    Those that share a batch wait for each other. So what the batch calls must not wait for a slot of any of them.
    """
    contexts = (request[2] for request in requests)
    marks = {id(mark): mark for context in contexts if context is not None for mark in context.get(inside, ())}
    return tuple(mark for mark in marks.values() if mark)


def _is_generator(function: Callable[..., Any]) -> bool:
    return inspect.isasyncgenfunction(function) or inspect.isasyncgenfunction(type(function).__call__)


def _is_async(function: Callable[..., Any]) -> bool:
    call = getattr(type(function), "__call__", None)  # noqa: B004 - the class's own, for objects that can be called
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call) or _is_generator(function)
