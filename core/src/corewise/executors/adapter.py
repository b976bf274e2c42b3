"""Makes a ``ChunkExecutor`` of any ``concurrent.futures.Executor``: what wrapping dask or MPI gets for nothing.

Where workers share memory, callable and items pass as they are. Elsewhere the callable is pickled once per map and
unpickled once per worker; items and results travel as pickles made here, so lambdas and classes of ``__main__`` travel
and a result that cannot be pickled is the failure of its item alone.
"""

from __future__ import annotations

import os
import pickle
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor as FuturesExecutor
from concurrent.futures import Future
from functools import partial
from typing import Any

from corewise.executors.chunks import Chunk, ChunkOutcome, run_chunk
from corewise.executors.contract import ChunkExecutor, ExecutorFactory, ExecutorRequest
from corewise.executors.frozen import freeze
from corewise.executors.linked import LinkedFuture
from corewise.executors.transfer import dumps, pack_exception, unpack_exception

__all__ = ["FuturesAdapter", "adapt"]

KEPT_CALLABLES = 8
"""How many callables a worker keeps for chunks to come."""


def adapt(executor: FuturesExecutor, factory: ExecutorFactory, request: ExecutorRequest) -> ChunkExecutor:
    """Return the executor itself where it takes chunks, else an adapter around it."""
    if isinstance(executor, ChunkExecutor):
        return executor
    return FuturesAdapter(executor, factory, request)


class FuturesAdapter:
    """Runs chunks on any executor, and declares its threads or processes to be workers.

    Holds nothing that changes, so it needs no lock. A pool does not say which of its workers runs a task, so each
    takes the last worker's share, which is the smallest.
    """

    times_items = False

    def __init__(self, executor: FuturesExecutor, factory: ExecutorFactory, request: ExecutorRequest) -> None:
        self._executor = executor
        self._shares_memory = factory.shares_memory
        self._start: _Start | None = None
        # A caller who runs the tasks himself is no worker, and stays what he is.
        if not (factory.starts_workers or factory.in_caller):
            self._start = _Start(request, travels=not factory.shares_memory)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run one call in a worker."""
        if self._shares_memory:
            return self._executor.submit(_call, self._start, fn, args, kwargs)
        call = dumps((fn, args, kwargs))[0]
        return LinkedFuture(self._executor.submit(_call_pickled, self._start, call), _unpack_single)

    def prepare(self, fn: Callable[..., Any]) -> Any:
        """Pickle the callable, where workers do not see it."""
        return fn if self._shares_memory else (os.urandom(16), dumps(fn)[0])

    def submit_chunk(self, prepared: Any, chunk: Chunk) -> Future[ChunkOutcome]:
        """Run the callable on every item of the chunk."""
        if self._shares_memory:
            return self._executor.submit(_run_chunk, self._start, prepared, chunk)
        items = dumps((chunk.items, chunk.star, chunk.stop_on_error))[0]
        future = self._executor.submit(_run_pickled, self._start, prepared, items)
        return LinkedFuture(future, partial(_unpack, sent=len(items)))

    def end_chunk(self, future: Future[ChunkOutcome]) -> None:
        """Withdraw a chunk that has not begun; one that runs cannot be ended from here."""
        future.cancel()

    def give_up(self, future: Future[ChunkOutcome]) -> bool:
        """Withdraw a chunk that has not begun; a worker that runs one is lost until it is done."""
        return future.cancel() or future.done()

    def release(self, prepared: Any) -> None:
        """Forget nothing: the workers' memory of callables is bounded."""


class _Start:
    """Starts the worker that it arrives in, once per thread: sent with every task, and told apart by its token."""

    def __init__(self, request: ExecutorRequest, *, travels: bool) -> None:
        self.token = os.urandom(16)
        self._renew = None if travels else request.renew_worker
        parts = request.start_worker, request.worker(request.workers - 1)
        self.parts: Any = pickle.dumps(parts, 5) if travels else parts

    def __call__(self) -> None:
        if getattr(_started, "token", None) != self.token:
            start_worker, worker = pickle.loads(self.parts) if isinstance(self.parts, bytes) else self.parts
            start_worker(worker)
            _started.token = self.token
        if self._renew is not None:
            self._renew()


_started = threading.local()
_callables: OrderedDict[bytes, Callable[..., Any]] = OrderedDict()
_callables_lock = threading.Lock()
"""Guards ``_callables``: a process may run tasks on several threads."""


def _call(start: _Start | None, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if start is not None:
        start()
    return fn(*args, **kwargs)


def _run_chunk(start: _Start | None, fn: Callable[..., Any], chunk: Chunk) -> ChunkOutcome:
    if start is not None:
        start()
    return ChunkOutcome(*run_chunk(fn, chunk.items, star=chunk.star, stop_on_error=chunk.stop_on_error))


def _call_pickled(start: _Start | None, data: bytes) -> bytes:
    """Run one call; the answer is a chunk outcome of one result, pickled."""
    return _packed(start, lambda: run_chunk(_apply, [pickle.loads(data)], star=True))


def _apply(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return fn(*args, **kwargs)


def _run_pickled(start: _Start | None, prepared: tuple[bytes, bytes], data: bytes) -> bytes:
    """Run a chunk; the answer is its outcome, pickled."""

    def run() -> tuple[list[Any], dict[int, BaseException] | None, float]:
        items, star, stop_on_error = pickle.loads(data)
        return run_chunk(_callable(*prepared), items, star=star, stop_on_error=stop_on_error, freeze=freeze)

    return _packed(start, run)


def _callable(token: bytes, data: bytes) -> Callable[..., Any]:
    with _callables_lock:
        fn = _callables.pop(token, None)
        if fn is None:
            fn = pickle.loads(data)
        _callables[token] = fn
        if len(_callables) > KEPT_CALLABLES:
            _callables.popitem(last=False)
        return fn


def _packed(start: _Start | None, run: Callable[[], tuple[list[Any], dict[int, BaseException] | None, float]]) -> bytes:
    if start is not None:
        start()
    results, failures, seconds = run()
    packed = {position: pack_exception(error) for position, error in (failures or {}).items()}
    try:
        data = dumps(results)[0]
    except Exception:  # noqa: BLE001 - find the results that cannot travel
        for position, result in enumerate(results):
            try:
                dumps(result)
            except Exception as error:  # noqa: BLE001 - it is this item's failure
                packed[position] = pack_exception(error)
                results[position] = None
        data = dumps(results)[0]
    return pickle.dumps((data, packed, seconds), 5)


def _unpack(answer: bytes, sent: int = 0) -> ChunkOutcome:
    data, packed, seconds = pickle.loads(answer)
    failures = {position: unpack_exception(error) for position, error in packed.items()} or None
    return ChunkOutcome(pickle.loads(data), failures, seconds, sent=sent)


def _unpack_single(answer: bytes) -> Any:
    outcome = _unpack(answer)
    if outcome.failures is not None:
        raise outcome.failures[0]
    return outcome.results[0]
