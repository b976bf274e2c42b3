"""The executor that users and the map engine hold."""

from __future__ import annotations

import atexit
import os
import sys
import weakref
from collections.abc import Callable
from concurrent.futures import Executor, Future
from types import TracebackType
from typing import Any

from corewise.builtin.spawn import prepare
from corewise.builtin.spawn.context import bind
from corewise.builtin.spawn.core import Core
from corewise.builtin.spawn.futures import PoolFuture
from corewise.builtin.spawn.jobs import Prepared
from corewise.builtin.spawn.settings import SpawnSettings
from corewise.executors.chunks import Chunk, ChunkOutcome
from corewise.executors.contract import ExecutorRequest
from corewise.executors.share import Shared

__all__ = ["SpawnPool"]

_cores: weakref.WeakSet[Core] = weakref.WeakSet()


class SpawnPool(Executor):
    """A pool of spawned processes: a ``concurrent.futures.Executor`` that also serves the map engine directly.

    It may be used from any thread. All state is in a ``Core``, whose lock guards it.

    Args:
        request: How many workers, what they are, and the settings.

    Example:
        >>> import corewise
        >>> with corewise.executor("spawn", workers=1) as pool:
        ...     pool.submit(pow, 2, 5).result()
        32
    """

    times_items = True
    # A chunk costs the parent about 0.15 ms, and with busy workers on all CPUs that is taken from them.
    chunk_seconds: float = 0.02

    def __init__(self, request: ExecutorRequest) -> None:
        if prepare.preparing_main:
            raise RuntimeError(
                "this script starts a pool when it is imported, and a worker is importing it: "
                "put what starts work under `if __name__ == '__main__':`"
            )
        settings = request.settings if isinstance(request.settings, SpawnSettings) else SpawnSettings()
        self._core = Core(request, settings.for_resident() if request.resident else settings)
        _cores.add(self._core)
        weakref.finalize(self, self._core.drop).atexit = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run ``fn(*args, **kwargs)`` in a worker.

        Raises:
            ClosedError: The pool was shut down.
        """
        return self._core.submit(bind(fn) if self._core.settings.context else fn, args, kwargs)

    def prepare(self, fn: Callable[..., Any]) -> Prepared:
        """Ship the callable once; see ``ChunkExecutor``."""
        prepared = self._core.callables.prepare(bind(fn) if self._core.settings.context else fn)
        prepared.defers = bool(getattr(fn, "defers", False))
        return prepared

    def submit_chunk(self, prepared: Prepared, chunk: Chunk) -> Future[ChunkOutcome]:
        """Run the callable on every item of the chunk in one worker; see ``ChunkExecutor``."""
        return self._core.submit_chunk(prepared, chunk)

    def attend(self, seconds: float | None, ready: Callable[[], object]) -> bool:
        """Read answers once in the calling thread; see ``AttendedExecutor``."""
        return self._core.reader.lead(seconds, ready, called_back=True)

    def end_chunk(self, future: Future[ChunkOutcome]) -> None:
        """Withdraw what has not begun of a chunk; see ``ChunkExecutor``."""
        if not future.cancel() and isinstance(future, PoolFuture):
            self._core.abandon(future)

    def give_up(self, future: Future[ChunkOutcome]) -> bool:  # noqa: ARG002 - never asked: the pool times items itself
        """Say that no other worker takes the place; see ``ChunkExecutor``."""
        return False

    def release(self, prepared: Prepared) -> None:
        """Forget the callable; see ``ChunkExecutor``."""
        self._core.release(prepared)

    def share(self, obj: Any) -> Shared[Any]:
        """Return a small reference to an object; it is pickled now, and shipped once to each worker that needs it."""
        return self._core.share(obj)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; end the workers when what was submitted is done.

        Raises:
            RuntimeError: A callback of a future of this pool called it with ``wait``, as with ``ProcessPoolExecutor``:
                it runs in the pool's thread. The pool is shut down all the same.
        """
        self._core.shut_down(wait=wait, cancel=cancel_futures)

    def kill_workers(self) -> None:
        """Kill the workers; what has not finished fails with ``ClosedError``. See ``KillableExecutor``."""
        self._core.terminate()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Shut down; at once where the program is being interrupted."""
        if kind is not None and not issubclass(kind, Exception):
            self._core.terminate()
        else:
            self.shutdown(wait=True)


def _at_exit() -> None:
    """Let what was submitted finish, as ``concurrent.futures`` does; nothing after Ctrl-C, or at the second."""
    try:
        for core in list(_cores):
            if getattr(sys, "last_type", None) is KeyboardInterrupt:
                core.terminate()
            else:
                core.shut_down(wait=True, cancel=False)
    except KeyboardInterrupt:
        for core in list(_cores):
            core.terminate()


def _after_fork() -> None:
    for core in list(_cores):
        core.forked()


atexit.register(_at_exit)
os.register_at_fork(after_in_child=_after_fork)
