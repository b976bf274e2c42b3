"""The thread executor, made for free-threaded Python; on other builds threads take turns, and it warns once."""

from __future__ import annotations

import atexit
import itertools
import os
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from corewise.errors import ExecutorWarning, warn
from corewise.executors.chunks import Chunk, ChunkOutcome, run_chunk
from corewise.executors.contract import ExecutorFactory, ExecutorRequest
from corewise.executors.deferred import settled
from corewise.executors.gil import gil_culprit
from corewise.plugins.marker import hookimpl

__all__ = ["ThreadExecutor", "corewise_executors"]

_Task = tuple["Future[Any]", "Callable[..., Any]", tuple[Any, ...], dict[str, Any]]


class ThreadExecutor(Executor):
    """Runs calls and chunks on up to ``workers`` threads, started as they are needed.

    Threads are daemons, so that an item that was given up cannot keep the interpreter alive; at exit the executor
    waits for all the others, as ``ThreadPoolExecutor`` does. What changes is in ``_Pool``.
    """

    times_items = False

    def __init__(self, request: ExecutorRequest) -> None:
        self._pool = _Pool(request)
        weakref.finalize(self, self._pool.close).atexit = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run one call on a thread."""
        future: Future[Any] = Future()
        self._pool.put((future, fn, args, kwargs))
        return future

    def prepare(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Return the callable: threads see it as it is."""
        return fn

    def submit_chunk(self, prepared: Callable[..., Any], chunk: Chunk) -> Future[ChunkOutcome]:
        """Run the callable on every item of the chunk, on one thread."""
        future = _ChunkFuture(chunk.items)
        self._pool.put((future, _run, (prepared, chunk), {}))
        return future

    def end_chunk(self, future: Future[ChunkOutcome]) -> None:
        """Withdraw the items that have not begun."""
        if not future.cancel() and isinstance(future, _ChunkFuture):
            future.items.clear()

    def give_up(self, future: Future[ChunkOutcome]) -> bool:
        """Leave the thread that runs the chunk behind, and let another take its place."""
        return not isinstance(future, _ChunkFuture) or self._pool.give_up(future)

    def release(self, prepared: Callable[..., Any]) -> None:
        """Forget nothing: nothing was kept."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; end the threads when what was submitted is done."""
        self._pool.close()
        if cancel_futures:
            self._pool.cancel_waiting()
        if wait:
            self._pool.join()


def _run(fn: Callable[..., Any], chunk: Chunk) -> ChunkOutcome:
    return ChunkOutcome(*run_chunk(fn, chunk.items, star=chunk.star, stop_on_error=chunk.stop_on_error))


class _ChunkFuture(Future[ChunkOutcome]):
    """A chunk's future; ``thread`` and ``given_up`` are guarded by the pool's lock."""

    def __init__(self, items: Any) -> None:
        super().__init__()
        self.items = items
        self.thread: _Worker | None = None
        self.given_up = False


class _Pool:
    """What an executor shares with its threads; they hold this and not the executor, so that it can be dropped.

    ``lock`` guards ``threads``, ``idle``, ``closed``, ``emptied`` and the chunk futures' marks, and orders every task
    before the token that ends the threads. ``tasks`` needs no lock.
    """

    def __init__(self, request: ExecutorRequest) -> None:
        self.request = request
        self.tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self.lock = threading.Lock()
        self.name = f"corewise-threads-{next(_numbers)}"
        self.threads: set[_Worker] = set()
        self.idle = 0
        self.closed = False
        self.emptied = False

    def put(self, task: _Task) -> None:
        with self.lock:
            if self.closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self.tasks.put(task)
            if len(self.threads) == self.request.workers:
                return
            if self.idle:
                self.idle -= 1
                return
            self._start(len(self.threads))

    def _start(self, index: int) -> None:
        """Start a thread; the lock is held."""
        thread = _Worker(self, index)
        self.threads.add(thread)
        if len(self.threads) == 1:
            _open.add(self)
        thread.start()

    def next_task(self) -> _Task | None:
        """Wait for a task; None when there will be no more."""
        if len(self.threads) < self.request.workers:
            with suppress(Empty):
                return self.tasks.get_nowait()
            with self.lock:
                self.idle += 1
        return self.tasks.get()

    def give_up(self, future: _ChunkFuture) -> bool:
        with self.lock:
            if future.thread is not None and not future.done():
                future.given_up = True
                self.threads.discard(future.thread)
                if not self.emptied:  # else nothing is left to do, and none can be started at exit
                    self._start(future.thread.index)
        return True

    def leaves(self, future: _ChunkFuture) -> bool:
        """Whether the thread that ran a chunk was given up meanwhile, and has to go."""
        with self.lock:
            future.thread = None
            return future.given_up

    def close(self) -> None:
        with self.lock:
            if not self.closed:
                self.closed = True
                self.tasks.put(None)

    def cancel_waiting(self) -> None:
        with self.lock:
            self.emptied = True
        with suppress(Empty):
            while True:
                task = self.tasks.get_nowait()
                if task is not None:
                    task[0].cancel()
        self.tasks.put(None)

    def start_over(self) -> None:
        """Begin anew in a forked child: it has none of the threads, and another of them may have held the lock."""
        self.lock = threading.Lock()
        self.tasks = SimpleQueue()
        self.threads = set()
        self.idle = 0

    def join(self) -> None:
        with self.lock:
            threads = list(self.threads)
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join()


class _Worker(threading.Thread):
    """One thread of the pool: a worker."""

    def __init__(self, pool: _Pool, index: int) -> None:
        super().__init__(name=f"{pool.name}_{index}", daemon=True)
        self.pool = pool
        self.index = index

    def run(self) -> None:
        request = self.pool.request
        worker = request.worker(self.index)
        try:
            request.start_worker(worker)
        except BaseException as error:  # noqa: BLE001 - a worker that cannot start says so with every task
            self._serve(error)
            return
        try:
            self._serve(None)
        finally:
            request.stop_worker(worker)

    def _serve(self, refusal: BaseException | None) -> None:
        pool = self.pool
        while (task := pool.next_task()) is not None:
            future = task[0]
            pool.request.renew_worker()
            if isinstance(future, _ChunkFuture):
                future.thread = self
                _perform(task, refusal)
                if pool.leaves(future):
                    return
            else:
                _perform(task, refusal)
            del task, future
        pool.tasks.put(None)


def _perform(task: _Task, refusal: BaseException | None) -> None:
    future, fn, args, kwargs = task
    if not future.set_running_or_notify_cancel():
        return
    if refusal is not None:
        broken = BrokenExecutor("a worker thread could not start")
        broken.__cause__ = refusal
        future.set_exception(broken)
        return
    try:
        result = fn(*args, **kwargs)
    except BaseException as error:  # noqa: BLE001 - the outcome of the call belongs in its future
        future.set_exception(error)
        return
    if isinstance(future, _ChunkFuture) and getattr(args[0], "defers", False):
        settled(result, future.set_result)
    else:
        future.set_result(result)


_numbers = itertools.count()
_open: weakref.WeakSet[_Pool] = weakref.WeakSet()


@atexit.register
def _finish() -> None:
    """Finish what was submitted before the interpreter goes."""
    for pool in list(_open):
        pool.close()
    for pool in list(_open):
        pool.join()


def _after_fork_in_child() -> None:
    pools = list(_open)
    _open.clear()
    for pool in pools:
        pool.start_over()


os.register_at_fork(after_in_child=_after_fork_in_child)

_warned = threading.Lock()
"""Taken by the first executor that warned of the GIL, and never given back: the warning comes once."""


def _create(request: ExecutorRequest) -> Executor:
    culprit = gil_culprit()
    if culprit and _warned.acquire(blocking=False):
        warn(
            f"executor 'threads': only one thread runs Python code at a time, because {culprit}; "
            'set executor = "spawn" for pure Python work, or run a free-threaded Python',
            ExecutorWarning,
        )
    return ThreadExecutor(request)


@hookimpl
def corewise_executors() -> list[ExecutorFactory]:
    """Offer ``threads``."""
    return [
        ExecutorFactory(
            name="threads",
            create=_create,
            summary="threads of this process; parallel where Python is free-threaded",
            shares_memory=True,
            starts_workers=True,
            defers=True,
        )
    ]
