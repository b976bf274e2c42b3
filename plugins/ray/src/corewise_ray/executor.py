"""The Ray executor: a ``concurrent.futures.Executor`` whose workers are Ray tasks."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from time import monotonic, time
from typing import Any

import ray

from corewise import Shared
from corewise.errors import ClosedError
from corewise.executors.chunks import Chunk, ChunkOutcome
from corewise.executors.contract import ExecutorRequest
from corewise_ray import cluster, tensors
from corewise_ray.answers import LOST, Judge, reason, unequipped
from corewise_ray.callables import LIVE_CALLABLES, ShippedCallable, ship
from corewise_ray.dispatch import Dispatcher, Job
from corewise_ray.home import Home
from corewise_ray.lending import Waiter, Waiters
from corewise_ray.notices import Notices
from corewise_ray.share import RayShared
from corewise_ray.sizes import visible_bytes
from corewise_ray.tasks import Tasks
from corewise_ray.work import How

__all__ = ["RayExecutor"]

GONE_SECONDS = 10.0
"""How long to wait for Ray to say that an actor is gone, so that nothing is left on return."""
LARGE_BYTES = 1 << 20
"""Items from this size on are in the object store before their worker is free: it need not wait for the copy."""


class RayExecutor(Executor):
    """Runs calls and chunks as Ray tasks, at most ``request.workers`` at once.

    Thread-safe: ``_dispatcher`` and ``_notices`` have locks of their own, and ``_live`` is replaced, never changed,
    under ``_lock``.

    Raises:
        ExecutorUnavailableError: The cluster cannot be joined or started, and why.
    """

    times_items = True
    chunk_seconds = 0.05
    """What a chunk should take: a task costs Ray about a millisecond, and the next one leaves when it is answered."""

    def __init__(self, request: ExecutorRequest) -> None:
        self._max_crashes: int = request.settings.max_crashes
        cluster.join(request.settings, _all_cpus(request))
        try:
            if request.settings.zero_copy_tensors:
                tensors.register()
            self._place: Home | Tasks = Home(request) if request.resident else Tasks(request)
            self._dispatcher = Dispatcher(self._place.slots, partial(_end, self._place))
        except BaseException:
            cluster.leave()
            raise
        # Inside a task, one that waits for others has to lend them its CPUs, or they may wait for each other.
        self._in_task = ray.get_runtime_context().worker.mode == ray.WORKER_MODE
        self._notices = Notices()
        self._lock = threading.Lock()
        self._live: tuple[bytes, ...] = ()
        weakref.finalize(self, self._dispatcher.close).atexit = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run one call in a worker."""
        chunk = Chunk([(fn, args, kwargs)], star=True)
        return self._submit(_CallFuture(self._waiter(), self._notices), ship(_apply), chunk)

    def prepare(self, fn: Callable[..., Any]) -> ShippedCallable:
        """Put the callable into the object store, unless its name says it all."""
        shipped = ship(fn)
        with self._lock:
            self._live = (*self._live, shipped.token)
        return shipped

    def submit_chunk(self, prepared: ShippedCallable, chunk: Chunk) -> Future[ChunkOutcome]:
        """Run the callable on every item of the chunk, in one task."""
        return self._submit(_JobFuture(self._waiter(), self._notices), prepared, chunk)

    def end_chunk(self, future: Future[ChunkOutcome]) -> None:
        """Withdraw a chunk; the worker of one that runs is asked to stop it."""
        job = future.job() if isinstance(future, _JobFuture) else None
        if job is not None:
            self._dispatcher.withdraw(job)

    def give_up(self, future: Future[ChunkOutcome]) -> bool:
        """Withdraw a chunk; its worker is free when it has noticed."""
        self.end_chunk(future)
        return True

    def release(self, prepared: ShippedCallable) -> None:
        """Let the workers forget the callable; its place in the object store is free with its last reference."""
        with self._lock:
            self._live = tuple(token for token in self._live if token != prepared.token)

    def share(self, obj: Any) -> Shared[Any]:
        """Put the object into the object store, once."""
        return RayShared(obj)

    def attend(self, seconds: float | None, ready: Callable[[], object]) -> bool:
        """Wait within Ray where the caller is a Ray task, whose CPUs are lent to others meanwhile."""
        waiter = self._waiter()
        if waiter is None or seconds == 0:
            return False
        waiter(seconds, ready)
        return True

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; leave the cluster when what was submitted is done."""
        self._dispatcher.close(cancel=cancel_futures)
        if wait:
            self._dispatcher.join()
        self._notices.tell()

    def kill_workers(self) -> None:
        """Take no more calls and fail all that were made: an actor is killed, tasks are asked to stop."""
        marks = self._dispatcher.kill(ClosedError("executor 'ray': its workers were ended before this was done"))
        self._place.kill(marks)
        if isinstance(self._place, Home):
            self._dispatcher.join(GONE_SECONDS)

    def _waiter(self) -> Waiter | None:
        """Return how the calling thread is to wait; None for as usual. Ray lends CPUs for the main thread alone."""
        if self._in_task and threading.current_thread() is threading.main_thread():
            return self._dispatcher.wait_on_ray
        return None

    def _submit(self, future: _JobFuture, shipped: ShippedCallable, chunk: Chunk) -> _JobFuture:
        mark = os.urandom(16)
        how = How(chunk.star, chunk.stop_on_error, chunk.item_timeout, mark, time(), self._live[-LIVE_CALLABLES:])
        size = _size(chunk)
        judge = Judge(len(chunk.items), size, chunk.item_timeout, mark, self._max_crashes, self._notices)
        try:
            items = ray.put(chunk.items) if size >= LARGE_BYTES else chunk.items
        except Exception as error:  # noqa: BLE001 - an item that cannot travel; the engine finds out which
            future.set_exception(error)
            return future
        job = Job(future, mark, partial(self._send, shipped, items, how, judge), partial(_settle, future, judge))
        future.job = weakref.ref(job)
        self._dispatcher.submit(job)
        return future

    def _send(self, shipped: ShippedCallable, items: Any, how: How, judge: Judge, index: int) -> Any:
        return self._place.send(index, shipped, items, how, again=judge.crashes > 0)


class _JobFuture(Future[Any]):
    """A future that knows its job, and waits the way its executor asks for.

    The job lives while it is under way; it knows its future, so that a cycle would keep items and results.
    """

    job: Callable[[], Job | None] = staticmethod(lambda: None)

    def __init__(self, waiter: Waiter | None, notices: Notices) -> None:
        super().__init__()
        if waiter is not None:
            self._waiters = Waiters(waiter)
        self._waiter = waiter
        self._notices = notices

    def result(self, timeout: float | None = None) -> Any:
        """Return the result, waiting at most ``timeout`` seconds for it; warns of what its worker could not limit."""
        result = super().result(self._attend(timeout))
        self._notices.tell()
        return result

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return the error, waiting at most ``timeout`` seconds for the end of the call."""
        return super().exception(self._attend(timeout))

    def finish(self, outcome: ChunkOutcome) -> None:
        """Take the outcome of the chunk."""
        self.set_result(outcome)

    def _attend(self, timeout: float | None) -> float | None:
        """Wait as the executor asks for, and return how many seconds are left."""
        if self._waiter is None:
            return timeout
        deadline = None if timeout is None else monotonic() + timeout
        left = timeout
        while not self.done() and (left is None or left > 0):
            self._waiter(left, self.done)
            left = None if deadline is None else max(0.0, deadline - monotonic())
        return left


class _CallFuture(_JobFuture):
    """The future of a single call."""

    def finish(self, outcome: ChunkOutcome) -> None:
        """Take the result or the error of the call."""
        if outcome.failures is not None:
            self.set_exception(outcome.failures[0])
        else:
            self.set_result(outcome.results[0])


def _end(place: Home | Tasks) -> None:
    try:
        place.end()
    finally:
        cluster.leave()


def _settle(future: _JobFuture, judge: Judge, answer: Future[Any]) -> bool:
    """Settle the future by Ray's answer; True for the task to be sent again."""
    error = answer.exception()
    if error is None:
        future.finish(judge.outcome(answer.result()))
    elif (broken := unequipped(error)) is not None:
        future.set_exception(broken)
    elif isinstance(error, LOST):
        outcome = judge.lost(error)
        if outcome is None:
            return True
        future.finish(outcome)
    else:
        future.set_exception(reason(error))
    return False


def _apply(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return fn(*args, **kwargs)


def _size(chunk: Chunk) -> int:
    return visible_bytes([part for item in chunk.items for part in item] if chunk.star else chunk.items)


def _all_cpus(request: ExecutorRequest) -> int:
    """Return the CPUs of all workers together: those of a cluster that is started for them."""
    if request.resident:
        # The first of several, each an executor of its own, starts the cluster for all of them.
        worker = request.worker(0)
        return worker.count * (worker.config.num_cpus if worker.config is not None else 1)
    configs = [request.worker(index).config for index in range(request.workers)]
    return sum(config.num_cpus if config is not None else 1 for config in configs)
