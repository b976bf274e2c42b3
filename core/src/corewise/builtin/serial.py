"""The serial executor: every task runs in the calling thread, while it is submitted."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from corewise.executors.contract import ExecutorFactory, ExecutorRequest
from corewise.plugins.marker import hookimpl

__all__ = ["SerialExecutor", "corewise_executors"]


class SerialExecutor(Executor):
    """Runs each call in the thread that submits it, before ``submit`` returns.

    ``_lock`` guards ``_closed``, the only thing that changes.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closed = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run the call now and return its future, which is done."""
        with self._lock:
            if self._closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        try:
            result = fn(*args, **kwargs)
        except KeyboardInterrupt:
            # It is the caller who was interrupted: this is his thread.
            raise
        except BaseException as error:  # noqa: BLE001 - the outcome of the call belongs in its future
            future.set_exception(error)
        else:
            future.set_result(result)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002 - the base class's
        """Take no more calls; none can be waiting."""
        with self._lock:
            self._closed = True


def _create(_: ExecutorRequest) -> Executor:
    return SerialExecutor()


@hookimpl
def corewise_executors() -> list[ExecutorFactory]:
    """Offer ``serial``."""
    return [
        ExecutorFactory(
            name="serial",
            create=_create,
            summary="one item at a time, in the calling thread",
            parallel=False,
            in_caller=True,
            shares_memory=True,
            starts_workers=True,
        )
    ]
