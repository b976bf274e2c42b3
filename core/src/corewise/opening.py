"""Making executors: who works where, with which share of the machine, and what happens when a worker starts."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import Any

import attrs

from corewise.backends.limits import BackendLimits
from corewise.backends.plan import pools
from corewise.backends.reach import Place
from corewise.errors import ExecutorUnavailableError
from corewise.executors.contract import ExecutorFactory, ExecutorRequest
from corewise.executors.facade import Executor
from corewise.executors.worker import Worker, enter_thread, leave_thread
from corewise.plugins.host import PluginHost
from corewise.settings.model import LARGEST_COUNT, ParallelConfig
from corewise.settings.resolve import share
from corewise.spelling import did_you_mean

__all__ = ["KeptExecutors", "Opener", "chosen"]


def chosen(config: ParallelConfig, name: str | None) -> str:
    """Return the name of an executor; where none was given, or ``auto``, of the one that the settings choose."""
    return config.executor if name in (None, "auto") else name


@attrs.frozen
class Opener:
    """Makes the executors of a process.

    Args:
        host: The plugins.
        limits: The limits of the backends in this process.
        start_process: Makes a process a worker. Can be pickled.
        stop_process: Ends that. Can be pickled.
    """

    _host: PluginHost
    _limits: BackendLimits
    _start_process: Callable[[Worker], None]
    _stop_process: Callable[[Worker], None]

    def open(
        self,
        config: ParallelConfig,
        name: str,
        workers: int | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        place: tuple[int, int] | None = None,
    ) -> Executor:
        """Make an executor for the holder of ``config``.

        Args:
            config: Whose share of the machine its workers divide.
            name: Name of the executor.
            workers: As ``executor`` has it.
            options: As ``executor`` has it.
            place: Index and count where its single worker is one of several that are made one by one.
        """
        factory = self._host.executor(name)
        if why := factory.unavailable():
            raise ExecutorUnavailableError(f"executor {name!r} cannot run here: {why}")
        if not factory.shares_memory:
            config = self._limits.under_temporary(config)
        first, count = place or (0, self.count(config, name, workers))
        settings = _executor_settings(config, factory, options or {})
        request = self._request(config, factory, settings, range(first, count if place is None else first + 1), count)
        request = attrs.evolve(request, resident=place is not None)
        return Executor(factory, request, factory.create(request))

    def start_thread(self, above: Place, worker: Worker) -> None:
        """Make the calling thread a worker of an executor of this opener, also where ``reset`` has come since.

        Args:
            above: The place of the thread that opened the executor.
            worker: What it becomes.
        """
        enter_thread(worker)
        self._limits.enter_worker(worker.config, above)
        self._host.worker_start(worker)

    def stop_thread(self, worker: Worker) -> None:
        """Call the plugins' hooks at the end of a worker thread."""
        self._host.worker_stop(worker)
        self._limits.leave_worker()
        leave_thread()

    def count(self, config: ParallelConfig, name: str, workers: int | None) -> int:
        """Return how many workers an executor gets where ``workers`` were asked for."""
        return _workers(config, self._host.executor(name), workers)

    def _request(
        self, config: ParallelConfig, factory: ExecutorFactory, settings: Any, indexes: range, count: int
    ) -> ExecutorRequest:
        def worker(index: int) -> Worker:
            part = share(config, indexes[index], count, factory.name)
            return Worker(indexes[index], count, factory.name, part, in_thread=factory.shares_memory)

        def environment(index: int) -> dict[str, str]:
            each = worker(index)
            return self._limits.child_env(each.config, self._host.worker_env(each))

        start_thread = partial(self.start_thread, self._limits.place)
        # Threads are always started, and finding out what processes need takes longer than starting a thread.
        at_once, before = (False, ()) if factory.shares_memory else self._limits.needs_start(config)
        hooks = any(self._host.implements(hook) for hook in ("corewise_worker_start", "corewise_worker_stop"))
        return ExecutorRequest(
            workers=len(indexes),
            settings=settings,
            worker=worker,
            environment=environment,
            start_worker=start_thread if factory.shares_memory else self._start_process,
            stop_worker=self.stop_thread if factory.shares_memory else self._stop_process,
            hooks_in_workers=hooks or at_once,
            start_before=before,
            pools=pools(self._limits.backends.values(), config, os.environ),
            renew_worker=self._limits.refresh_worker,
        )


_of_parents: list[Executor] = []
"""In a forked child: the executors that were kept in the processes above.

They are never dropped: dropping one would end it, and that takes locks that its threads may have held.
"""


class KeptExecutors:
    """The executors of processes that ``corewise.map`` keeps, by whatever tells them apart. A lock guards them.

    It is reentrant: making an executor imports plugins, which may map something.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._executors: dict[Hashable, Executor] = {}

    @property
    def executors(self) -> Mapping[Hashable, Executor]:
        """Those that are kept now."""
        with self._lock:
            return dict(self._executors)

    def get(self, key: Hashable, make: Callable[[], Executor]) -> Executor:
        """Return the executor of this key, made now where there is none."""
        with self._lock:
            if key not in self._executors:
                self._executors[key] = make()
            return self._executors[key]

    def close(self) -> None:
        """Shut all of them down."""
        with self._lock:
            executors = list(self._executors.values())
            self._executors.clear()
        for executor in executors:
            executor.shutdown(wait=True, cancel_futures=True)

    def forget(self) -> None:
        """Keep none in a forked child, which has none of their threads, nor of those that may hold the lock."""
        self._lock = threading.RLock()
        _of_parents.extend(self._executors.values())
        self._executors.clear()


def _workers(config: ParallelConfig, factory: ExecutorFactory, workers: int | None) -> int:
    if workers is not None:
        if isinstance(workers, bool) or not isinstance(workers, int):
            raise TypeError(f"executor: workers: must be an integer, got {workers!r}")
        if workers < 1:
            raise ValueError(f"executor: workers: must be at least 1, got {workers}")
        if workers > LARGEST_COUNT:
            raise ValueError(f"executor: workers: must be at most {LARGEST_COUNT:,}, got {workers}")
    if not factory.parallel:
        return 1
    if workers is not None:
        return workers
    if factory.name == config.executor or config.asked.num_batch_jobs != 0:
        return config.num_batch_jobs
    return config.num_threads


def _executor_settings(config: ParallelConfig, factory: ExecutorFactory, options: Mapping[str, Any]) -> Any:
    settings = config.executors.get(factory.name)
    if settings is None:
        settings = factory.settings()
    fields = [field.alias or field.name for field in attrs.fields(factory.settings)]
    for option in options:
        if option not in fields:
            mend = did_you_mean(option, fields)
            allowed = ", ".join(fields) or "none"
            raise TypeError(f"executor {factory.name!r}: unknown option {option!r}; allowed: {allowed}{mend}")
    return attrs.evolve(settings, **options)
