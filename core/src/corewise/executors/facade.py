"""What ``corewise.executor()`` returns: any executor, with the map of the engine."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor as FuturesExecutor
from concurrent.futures import Future
from types import TracebackType
from typing import Any, TypeVar

from corewise.executors.adapter import FuturesAdapter, adapt
from corewise.executors.contract import (
    ChunkExecutor,
    ExecutorFactory,
    ExecutorRequest,
    KillableExecutor,
    SharingExecutor,
)
from corewise.executors.engine import start_map
from corewise.executors.inline import map_inline
from corewise.executors.options import MapOptions, OnError
from corewise.executors.share import Shared

__all__ = ["Executor"]

R = TypeVar("R")
T = TypeVar("T")


def _nothing() -> None:
    pass


class Executor(FuturesExecutor):
    """A ``concurrent.futures.Executor`` whose ``map`` is lazy, bounded, adaptive and survives failures.

    Made by ``corewise.executor()``; threads may share it as far as the executor within allows, and all that corewise
    ships do. It holds nothing that changes.

    Attributes:
        name: Name of the executor within.
        workers: How many items it can run at once.
        factory: The facts about it.
        within: The executor within.
        chunks: What runs chunks on it: the executor within itself, or an adapter around it.

    Example:
        >>> import corewise
        >>> with corewise.executor("threads", workers=2) as executor:
        ...     list(executor.map(abs, [-1, 2, -3]))
        [1, 2, 3]
    """

    def __init__(self, factory: ExecutorFactory, request: ExecutorRequest, within: FuturesExecutor) -> None:
        self.factory = factory
        self.name: str = factory.name
        self.workers: int = request.workers
        self.within = within
        self.chunks: ChunkExecutor = adapt(within, factory, request)

    def __repr__(self) -> str:
        return f"<corewise.Executor {self.name!r} with {self.workers} workers>"

    def submit(self, fn: Callable[..., R], /, *args: Any, **kwargs: Any) -> Future[R]:
        """Run one call in a worker.

        Args:
            fn: What to call.
            *args: Its positional arguments.
            **kwargs: Its keyword arguments.

        Returns:
            The future of its result.

        Raises:
            RuntimeError: After ``shutdown``.
        """
        if isinstance(self.chunks, FuturesAdapter):
            return self.chunks.submit(fn, *args, **kwargs)
        return self.within.submit(fn, *args, **kwargs)

    def map(
        self,
        fn: Callable[..., R],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int | None = None,
        buffersize: int | None = None,
        ordered: bool = True,
        on_error: OnError = "raise",
        retries: int = 0,
        item_timeout: float | None = None,
    ) -> Generator[R, None, None]:
        """Run ``fn`` over the items of the iterables, as the built-in ``map`` does, on the workers.

        The input is taken only as far as there is room for its items, so an endless one works, and only in the thread
        that consumes the results. Work begins at once (the serial executor runs an item when its result is asked for);
        closing the iterator, or dropping it, cancels what has not begun. An error of the input is raised after the
        results of all items before it.

        Args:
            fn: Called with one item of each iterable. Travels once per map.
            *iterables: The inputs; the shortest ends the map.
            timeout: Seconds from this call after which a result that is asked for and not there yet raises
                TimeoutError; None for no limit. The serial executor ends no item for it.
            chunksize: How many items travel together. None follows the measured duration of the items: tiny ones in
                thousands, long ones singly.
            buffersize: At most so many items run or wait for their turn in the results. None: eight chunks, or 256
                items, per worker.
            ordered: Whether results come in the order of the items, or as they are ready.
            on_error: What becomes of an item that failed: ``"raise"`` its error, with the remote traceback as cause
                and the item's index as a note; ``"return"`` a ``Failure`` in its place; ``"skip"`` it.
            retries: How often a failed item is tried again.
            item_timeout: Seconds that one item may take before it alone fails with ``ItemTimeoutError``; None for no
                limit. Items then travel singly.

        Returns:
            An iterator of results. With ``on_error="return"`` it holds ``Failure`` objects too.

        Raises:
            TypeError: An option of a wrong type.
            ValueError: An option out of its range.
            RuntimeError: After ``shutdown``.
        """
        options = MapOptions(
            timeout=timeout,
            chunksize=chunksize,
            buffersize=buffersize,
            ordered=ordered,
            on_error=on_error,
            retries=retries,
            item_timeout=item_timeout,
        )
        if self.factory.in_caller:
            # Told at the call, as other executors tell it: that it was shut down, or that an input cannot be iterated.
            self.within.submit(_nothing)
            return map_inline(fn, zip(*iterables, strict=False), options)
        return start_map(self.chunks, self.workers, fn, iterables, options)

    def share(self, obj: T) -> Shared[T]:
        """Return a small reference to an object that many maps of this executor use.

        Args:
            obj: Any object that can be pickled.

        Returns:
            A reference; its ``get()`` gives the object in every worker.
        """
        if isinstance(self.within, SharingExecutor):
            return self.within.share(obj)
        return Shared(obj)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; free the workers when what was submitted is done.

        Args:
            wait: Whether to return only then.
            cancel_futures: Whether calls that have not begun are cancelled.
        """
        self.within.shutdown(wait=wait, cancel_futures=cancel_futures)

    def kill_workers(self) -> None:
        """Take no more calls and end the workers now, with what they run; wait for no call.

        Where the executor within cannot do that (see ``KillableExecutor``; threads cannot be ended at all), calls that
        have not begun are cancelled and those that run are left behind.
        """
        if isinstance(self.within, KillableExecutor):
            self.within.kill_workers()
        else:
            self.within.shutdown(wait=False, cancel_futures=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave it to the executor within: some end what runs at once where the program is being interrupted."""
        self.within.__exit__(kind, error, traceback)
