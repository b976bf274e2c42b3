"""A worker's record of itself, and the way back to it from inside: a worker is a smaller machine.

Imported by every worker before its first task, so it imports as little as possible.

The record of a worker process is a module global, written before its first task. The record of a worker thread is in
a ``threading.local``: no lock is needed for either.
"""

from __future__ import annotations

from _thread import _local as local  # `threading.local`, without what that module imports

TYPE_CHECKING = False  # what type checkers take for true: a worker imports this before its first task
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Worker", "current_worker", "enter_process", "enter_thread", "leave_thread"]


class Worker:
    """One unit of an executor: a thread, a process, a remote task or actor.

    Attributes:
        index: Its place among the workers of its executor, from 0.
        count: How many workers the executor has.
        executor: Name of the executor.
        config: The settings resolved for its share of the machine (a ``corewise.settings.model.ParallelConfig``).
        in_thread: Whether it is a thread among others of its process; else the process is its own.
    """

    __slots__ = ("config", "count", "executor", "in_thread", "index")

    def __init__(self, index: int, count: int, executor: str, config: Any, *, in_thread: bool = False) -> None:
        self.index: int = index
        self.count: int = count
        self.executor: str = executor
        self.config: Any = config
        self.in_thread: bool = in_thread

    def __repr__(self) -> str:
        return f"<Worker {self.index} of {self.count} on {self.executor}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _worker, (self.index, self.count, self.executor, self.config, self.in_thread)


def _worker(index: int, count: int, executor: str, config: Any, in_thread: bool) -> Worker:
    return Worker(index, count, executor, config, in_thread=in_thread)


_process: Worker | bytes | None = None
_thread = local()


def enter_process(worker: Worker | bytes) -> None:
    """Declare this process to be a worker. Called before the process runs anything else.

    A pickled record is loaded when it is first asked for: most tasks never ask, and settings import much.
    """
    global _process  # noqa: PLW0603 - the one fact about a process that everything inside may ask for
    _process = worker


def enter_thread(worker: Worker) -> None:
    """Declare this thread to be a worker."""
    _thread.worker = worker


def leave_thread() -> None:
    """Declare that this thread is no worker any more."""
    _thread.worker = None


def current_worker() -> Worker | None:
    """Return the worker that the calling code runs in: of the thread, else of the process, else None."""
    worker: Worker | None = getattr(_thread, "worker", None)
    if worker is not None:
        return worker
    if isinstance(_process, bytes):
        from _pickle import loads

        enter_process(loads(_process))
    return _process  # type: ignore[return-value]  # mypy does not see that enter_process has changed it
