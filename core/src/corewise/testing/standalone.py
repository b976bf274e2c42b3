"""Make an executor from its factory alone: no settings are read and no plugin is loaded."""

from __future__ import annotations

import functools
import os
from typing import Any

from corewise.executors.contract import ExecutorFactory, ExecutorRequest
from corewise.executors.facade import Executor
from corewise.executors.worker import Worker, enter_process, enter_thread
from corewise.settings.model import ParallelConfig

__all__ = ["open_executor"]


def open_executor(factory: ExecutorFactory, *, workers: int = 2, **settings: Any) -> Executor:
    """Make an executor as ``corewise.executor`` does, from a factory that need not be installed.

    Args:
        factory: What the plugin's ``corewise_executors`` returns.
        workers: How many workers it has.
        **settings: Fields of the factory's settings class.

    Returns:
        The executor; close it with ``shutdown`` or a ``with`` block.

    Example:
        >>> from corewise.builtin.threads import corewise_executors
        >>> with open_executor(corewise_executors()[0]) as executor:
        ...     list(executor.map(abs, [-1, -2]))
        [1, 2]
    """
    own_process = factory.processes or factory.remote
    request = ExecutorRequest(
        workers=workers,
        settings=factory.settings(**settings),
        worker=functools.partial(_worker, factory.name, workers),
        environment=_environment,
        start_worker=enter_process if own_process else enter_thread,
        stop_worker=_forget,
    )
    return Executor(factory, request, factory.create(request))


def _worker(executor: str, count: int, index: int) -> Worker:
    config = ParallelConfig(
        executor="serial",
        executor_reason="a worker of the conformance suite",
        num_cpus=1,
        num_threads=1,
        num_backend_threads=1,
        num_batch_jobs=1,
        use_ray=False,
    )
    return Worker(index, count, executor, config)


def _environment(_: int) -> dict[str, str]:
    return dict(os.environ)


def _forget(_: Worker) -> None:
    """Do nothing: the worker ends."""
