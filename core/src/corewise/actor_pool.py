"""Objects that live in workers: each worker makes its own by a factory, and calls go to the one that is least busy.

Every worker is an executor of its own with a single worker, so whatever an executor promises of its workers holds for
actors: a worker that dies is replaced, its object is made again, and its call is retried.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, wait
from types import TracebackType
from typing import Any, Generic, TypeVar

from corewise.errors import ClosedError
from corewise.executors.chunks import Chunk, ChunkOutcome
from corewise.executors.contract import ChunkExecutor
from corewise.executors.engine import start_map
from corewise.executors.facade import Executor
from corewise.executors.linked import LinkedFuture
from corewise.executors.options import MapOptions
from corewise.executors.resident import Recipe, Resident
from corewise.opening import chosen
from corewise.runtime import current_runtime, get_parallel_config

__all__ = ["CONCURRENT_CALLS", "ActorPool", "actors", "open_actors"]

R = TypeVar("R")
T = TypeVar("T")
CONCURRENT_CALLS = 64


def actors(
    factory: Callable[..., T],
    *args: Any,
    num_workers: int | None = None,
    executor: str | None = None,
    max_concurrency: int = CONCURRENT_CALLS,
    **kwargs: Any,
) -> ActorPool[T]:
    """Make an object in each of several workers.

    Returns when all of them are made. A factory that has arguments of the names below is bound with
    ``functools.partial``.

    Args:
        factory: Makes the object, in the worker; may be a class, and may be async.
        *args: Its positional arguments.
        num_workers: How many workers; default ``num_batch_jobs``.
        executor: Name of the executor that workers are of; default the one of the settings.
        max_concurrency: How many calls of async methods may run at once in a worker. Other methods run one at a time.
        **kwargs: Keyword arguments of the factory.

    Returns:
        The pool of objects; use it as a context manager.

    Raises:
        Exception: What the factory raised, with the worker's traceback as its cause.
        UnknownPluginError: No plugin offers the executor.
        ExecutorUnavailableError: It cannot run here, and why.

    Example:
        >>> import corewise
        >>> with corewise.actors(dict, a=1, num_workers=1, executor="serial") as pool:
        ...     pool.call("get", "a").result()
        1
    """
    pool: ActorPool[T] = open_actors((factory, args, kwargs), num_workers, executor, max_concurrency)
    try:
        pool.start()
    except BaseException:
        pool.abandon()
        raise
    return pool


def open_actors(
    recipe: Recipe, num_workers: int | None, executor: str | None, max_concurrency: int = CONCURRENT_CALLS
) -> ActorPool[Any]:
    """Return a pool whose objects are not made yet: each is with its first call.

    Args:
        recipe: What makes the object.
        num_workers: As ``actors`` has it.
        executor: As ``actors`` has it.
        max_concurrency: As ``actors`` has it.
    """
    runtime, config = current_runtime(), get_parallel_config()
    name = chosen(config, executor)
    count = runtime.opener.count(config, name, num_workers)
    executors: list[Executor] = []
    try:
        executors.extend(runtime.opener.open(config, name, place=(index, count)) for index in range(count))
        return ActorPool(executors, recipe, max_concurrency)
    except BaseException:
        for opened in executors:
            opened.shutdown(wait=False, cancel_futures=True)
        raise


class ActorPool(Generic[T]):
    """Objects of one kind, one in each worker. Made by ``actors``.

    Any thread may call. ``_lock`` guards ``_busy``, how many calls each worker has; ``_places``, the worker of each
    call that is under way; ``_closed``; and ``_entering``, the threads that are handing a call to its executor.
    ``_entered`` tells that one of them has done so: what ends the objects must not overtake a call.

    Attributes:
        times_items: Whether the executor ends an item at its ``item_timeout``; for the map engine.
        defers: Whether a worker takes more calls while those of async methods wait.
    """

    def __init__(self, executors: list[Executor], recipe: Recipe, max_concurrency: int) -> None:
        self._executors = executors
        self._chunks = [executor.chunks for executor in executors]
        self._prepared = [
            executor.chunks.prepare(Resident(recipe, max_concurrency, defers=executor.factory.defers))
            for executor in executors
        ]
        self.times_items: bool = self._chunks[0].times_items
        self.defers: bool = executors[0].factory.defers
        self._lock = threading.Lock()
        self._busy = [0] * len(executors)
        self._places: dict[Future[ChunkOutcome], int] = {}
        self._closed = False
        self._entering: list[int] = []
        self._entered = threading.Condition(self._lock)
        self._release = weakref.finalize(self, _release, self._chunks, self._prepared)
        self._release.atexit = False

    @property
    def num_workers(self) -> int:
        """How many workers there are, each with its own object."""
        return len(self._executors)

    @property
    def busy(self) -> bool:
        """Whether a call is under way, the making and closing of objects included."""
        with self._lock:
            return bool(self._places)

    def start(self) -> None:
        """Make every object; called by ``actors``.

        Raises:
            Exception: What the factory raised.
        """
        futures = self.begin()
        wait(futures)
        for future in futures:
            future.result()

    def begin(self) -> list[Future[None]]:
        """Begin to make every object.

        Returns:
            One future per worker, done when its object is made.
        """
        return [self._send(index, ("start",)) for index in range(self.num_workers)]

    def call(self, method: str, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call a method of the object in the worker that is least busy.

        Args:
            method: Its name.
            *args: Its positional arguments.
            **kwargs: Its keyword arguments.

        Returns:
            The future of its result; an exception has the worker's traceback as its cause.

        Raises:
            ClosedError: The pool is closed.
        """
        return self._send(None, ("call", method, args, kwargs))

    def each(self, method: str, /, *args: Any, **kwargs: Any) -> list[Future[Any]]:
        """Call a method of every object.

        Returns:
            One future per worker, in the order of the workers.

        Raises:
            ClosedError: The pool is closed.
        """
        return [self._send(index, ("call", method, args, kwargs)) for index in range(self.num_workers)]

    def apply(self, function: Callable[..., R], /, *args: Any) -> Future[R]:
        """Call a function with the object of the worker that is least busy.

        Args:
            function: Called with the object and `args`; may be async.
            *args: What it is called with beside.

        Returns:
            The future of its result.

        Raises:
            ClosedError: The pool is closed.
        """
        return self._send(None, ("apply", function, args))

    def send(self, index: int, operations: list[tuple[Any, ...]]) -> Future[ChunkOutcome]:
        """Run several operations of ``Resident`` in one worker, in one message.

        Args:
            index: Which worker.
            operations: As ``("call", method, args, kwargs)`` or ``("apply", function, args)``.

        Raises:
            ClosedError: The pool is closed.
        """
        return self._tracked(index, Chunk(operations))

    def map(self, method: str, /, *iterables: Iterable[Any], **options: Any) -> Generator[Any, None, None]:
        """Call a method with every item; the objects share the items.

        Args:
            method: Its name.
            *iterables: The inputs; the shortest ends the map.
            **options: Options of ``corewise.Executor.map``.

        Returns:
            A lazy iterator of results.

        Raises:
            ClosedError: The pool is closed.
        """
        with self._lock:
            self._check_open()
        calls: Iterator[tuple[Any, ...]] = (("call", method, items, {}) for items in zip(*iterables, strict=False))
        return start_map(self, self.num_workers, self.call, (calls,), MapOptions(**options))

    def close(self, wait: bool = True) -> None:
        """Finish what was called, run ``close`` or ``cleanup`` of every object, sync or async, and end the workers.

        Closing again does nothing.

        Args:
            wait: Whether to return only then.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._entered.wait_for(self._no_other_enters)
        endings = [self._tracked(index, Chunk([("close",)]), last=True) for index in range(self.num_workers)]
        for executor, ending in zip(self._executors, endings, strict=True):
            ending.add_done_callback(_tell_failure)
            executor.shutdown(wait=False)
        if wait:
            for executor in self._executors:
                executor.shutdown(wait=True)
            self._release()

    def abandon(self) -> None:
        """End the workers now, as far as their executor can: nothing is waited for, and no object is closed."""
        with self._lock:
            self._closed = True
            places = list(self._places.items())
        for executor in self._executors:
            executor.kill_workers()
        for future, index in places:
            if future.done():
                continue
            self._chunks[index].end_chunk(future)
            if not self._chunks[index].times_items:
                self._chunks[index].give_up(future)
        for prepared in self._prepared:
            if isinstance(prepared, Resident):  # it was not shipped: its object is in this process
                prepared.abandon()
        self._release()

    def __enter__(self) -> ActorPool[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, index: int | None, operation: tuple[Any, ...]) -> Future[Any]:
        return LinkedFuture(self._tracked(index, Chunk([operation])), _single)

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("the actor pool is closed: no more calls can be made")

    def _no_other_enters(self) -> bool:
        """Whether no other thread is handing over a call; the calling one may, as a call that closes its own pool."""
        return all(thread == threading.get_ident() for thread in self._entering)

    def _has_entered(self) -> None:
        self._entering.remove(threading.get_ident())
        if self._closed:
            self._entered.notify_all()

    def _tracked(self, index: int | None, chunk: Chunk, *, last: bool = False) -> Future[ChunkOutcome]:
        count = len(chunk.items)
        with self._lock:
            if not last:
                self._check_open()
            chosen = self._busy.index(min(self._busy)) if index is None else index
            self._busy[chosen] += count
            self._entering.append(threading.get_ident())

        def done(future: Future[ChunkOutcome] | None) -> None:
            with self._lock:
                self._busy[chosen] -= count
                if future is None:
                    self._has_entered()
                else:
                    del self._places[future]

        try:
            future = self._submit(chosen, chunk)
        except BaseException:
            done(None)
            raise
        with self._lock:
            self._places[future] = chosen
            self._has_entered()
        future.add_done_callback(done)
        return future

    def _submit(self, index: int, chunk: Chunk) -> Future[ChunkOutcome]:
        return self._chunks[index].submit_chunk(self._prepared[index], chunk)

    def prepare(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Ship nothing: every worker has its object. Asked by the map engine, as all of the following."""
        return fn

    def submit_chunk(self, prepared: Callable[..., Any], chunk: Chunk) -> Future[ChunkOutcome]:  # noqa: ARG002 - the object is there
        """Run calls in the worker that is least busy."""
        return self._tracked(None, chunk)

    def end_chunk(self, future: Future[ChunkOutcome]) -> None:
        """Withdraw calls that have not begun."""
        with self._lock:
            index = self._places.get(future)
        if index is not None:
            self._chunks[index].end_chunk(future)

    def give_up(self, future: Future[ChunkOutcome]) -> bool:
        """Stop waiting for a call."""
        with self._lock:
            index = self._places.get(future)
        return index is None or self._chunks[index].give_up(future)

    def release(self, prepared: Callable[..., Any]) -> None:
        """Forget nothing: the objects stay."""


def _release(chunks: list[ChunkExecutor], prepared: list[Any]) -> None:
    """Forget the recipe, which may be large: executors keep what was prepared until they are told."""
    for executor, each in zip(chunks, prepared, strict=True):
        executor.release(each)


def _tell_failure(ending: Future[ChunkOutcome]) -> None:
    """Log what an object raised when it was closed: there is no caller to raise it to."""
    if ending.cancelled():
        return
    error = ending.exception() or (ending.result().failures or {}).get(0)
    if error is not None:
        _log.error("closing an actor failed: %s", error, exc_info=error)


_log = logging.getLogger(__name__)


def _single(outcome: ChunkOutcome) -> Any:
    if outcome.failures is not None:
        raise outcome.failures[0]
    return outcome.results[0]
