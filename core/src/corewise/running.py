"""Running something on the executor that the settings choose."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Any, TypeVar

from corewise.executors.adapter import FuturesAdapter
from corewise.executors.facade import Executor
from corewise.executors.share import Shared
from corewise.executors.worker import current_worker
from corewise.opening import chosen
from corewise.runtime import current_runtime, get_parallel_config

__all__ = ["executor", "map", "share"]

R = TypeVar("R")
T = TypeVar("T")


def executor(name: str | None = None, *, workers: int | None = None, **options: Any) -> Executor:
    """Return a new executor: the one that the settings choose, or another by name.

    Args:
        name: Name of an executor; None or ``"auto"`` for the one of the settings.
        workers: How many items may run at once, at least 1; default ``num_batch_jobs``. An executor that is named,
            and is not the one of the settings, takes ``num_threads`` where nothing else was asked for.
        **options: Settings of the executor, over those of table ``executors.NAME``.

    Returns:
        A ``concurrent.futures.Executor`` with the ``map`` of corewise; use it as a context manager.

    Raises:
        UnknownPluginError: No plugin offers it; the message has close matches or what to install.
        BrokenPluginError: Its plugin could not be loaded; the original error is the cause.
        ExecutorUnavailableError: It cannot run here, and why.
        SettingsError: With every problem of every source.

    Example:
        >>> import corewise
        >>> with corewise.executor("serial") as ex:
        ...     ex.submit(pow, 2, 5).result()
        32
    """
    runtime, config = current_runtime(), get_parallel_config()
    return runtime.opener.open(config, chosen(config, name), workers, options)


def map(  # noqa: A001 - the field's word for it
    fn: Callable[..., R],
    *iterables: Iterable[Any],
    executor: str | None = None,
    workers: int | None = None,
    **options: Any,
) -> Generator[R, None, None]:
    """Run ``fn`` over the items of the iterables on the executor that the settings choose.

    Worker processes are kept for the next call, until ``reset`` or the end of the process. Worker threads hold their
    share of what belongs to the whole process, as OpenBLAS does, so they are of this map alone: they end with it, when
    the iterator is exhausted, closed or dropped and the items that run by then are done.

    Args:
        fn: Called with one item of each iterable.
        *iterables: The inputs; the shortest ends the map.
        executor: Name of an executor; None or ``"auto"`` for the one of the settings.
        workers: How many items may run at once; see ``corewise.executor``.
        **options: Options of ``Executor.map``: ``timeout``, ``chunksize``, ``buffersize``, ``ordered``, ``on_error``,
            ``retries``, ``item_timeout``.

    Returns:
        A lazy iterator of results.

    Example:
        >>> import corewise
        >>> list(corewise.map(len, ["a", "bc"]))
        [1, 2]
    """
    pool, kept = _pool(executor, workers)
    if kept:
        return pool.map(fn, *iterables, **options)
    try:
        results = pool.map(fn, *iterables, **options)
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    return _then_shut_down(results, pool, timed=options.get("item_timeout") is not None)


def share(obj: T) -> Shared[T]:
    """Return a small reference to an object that many maps use: it is shipped to a worker once, not once per map.

    Args:
        obj: Any object that can be pickled; a large one pays most.

    Returns:
        A reference; its ``get()`` gives the object in every worker.

    Example:
        >>> import corewise
        >>> corewise.share([1, 2]).get()
        [1, 2]
    """
    config = get_parallel_config()
    if current_runtime().host.executor(config.executor).shares_memory:
        return Shared(obj)
    return _pool(None, None)[0].share(obj)


def _pool(name: str | None, workers: int | None) -> tuple[Executor, bool]:
    """Return an executor for one map, and whether it is kept for the next."""
    runtime, config = current_runtime(), get_parallel_config()
    name = chosen(config, name)
    factory, worker = runtime.host.executor(name), current_worker()
    # A thread would hold its share of the process while it is idle. In a worker thread nothing is kept: its own share
    # of the machine ends with it.
    if (factory.shares_memory and not factory.in_caller) or (worker is not None and worker.in_thread):
        return runtime.opener.open(config, name, workers), False
    # Its processes keep the limits under which they were started, so a limit has a pool of its own.
    key = name, runtime.opener.count(config, name, workers), frozenset(runtime.limits.temporary.items())
    return runtime.kept.get(key, lambda: runtime.opener.open(config, name, workers)), True


def _then_shut_down(results: Generator[R, None, None], pool: Executor, *, timed: bool) -> Generator[R, None, None]:
    """Give the results, and end the executor of this map with them, whatever the end.

    A map that ran to its end leaves idle threads: it waits until they have given back what they held. Elsewhere an
    item may still run, which nobody waits for.
    """

    def run() -> Generator[R, None, None]:
        ended = False
        try:
            yield None  # type: ignore[misc]  # taken below, so that an iterator that is dropped shuts down too
            yield from results
            # An adapter cannot tell an item that was given up from another: it would wait for both.
            ended = pool.factory.shares_memory and not (timed and isinstance(pool.chunks, FuturesAdapter))
        finally:
            results.close()
            pool.shutdown(wait=ended, cancel_futures=True)

    primed = run()
    next(primed)
    return primed
