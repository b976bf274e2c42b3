"""``map`` in the calling thread, item by item as the built-in ``map`` does it, with the options of the engine."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Generator, Iterable
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any

from corewise.errors import ItemTimeoutError
from corewise.executors.chunks import run_chunk
from corewise.executors.failure import Failure, with_index
from corewise.executors.options import MapOptions
from corewise.executors.worker import current_worker, enter_thread

__all__ = ["map_inline"]


def map_inline(
    fn: Callable[..., Any], items: Iterable[tuple[Any, ...]], options: MapOptions
) -> Generator[Any, None, None]:
    """Return the results of ``fn`` over the items, each a tuple of arguments, run as they are asked for.

    An item with a timeout runs in a thread of its own, which is left behind when the time is over: nothing else can
    end a call from within its own thread.
    """
    call = fn if options.item_timeout is None else _Timed(fn, options.item_timeout)
    give_up = None if options.timeout is None else monotonic() + options.timeout
    return _results(call, items, options, give_up)


def _results(
    call: Callable[..., Any], items: Iterable[tuple[Any, ...]], options: MapOptions, give_up: float | None
) -> Generator[Any, None, None]:
    for index, arguments in enumerate(items):
        if give_up is not None and monotonic() >= give_up:
            raise _too_late(options)
        try:
            result = call(*arguments)
        except KeyboardInterrupt:
            # It is the caller who was interrupted: this is his thread.
            raise
        except BaseException as error:  # noqa: BLE001 - every failure belongs to its item
            result, failure = _again(call, arguments, options.retries, error)
            if failure is not None:
                if options.on_error == "raise":
                    raise with_index(failure, index)  # noqa: B904 - the failure is the last of the attempts
                if options.on_error == "skip":
                    continue
                result = Failure(index, failure)
        if give_up is not None and monotonic() >= give_up:
            raise _too_late(options)
        yield result


def _too_late(options: MapOptions) -> TimeoutError:
    return TimeoutError(f"map: not done after timeout={options.timeout} seconds")


def _again(
    call: Callable[..., Any], arguments: tuple[Any, ...], retries: int, error: BaseException
) -> tuple[Any, BaseException | None]:
    """Call once more for each retry that is left; return the result, or the last error."""
    for _ in range(retries):
        try:
            return call(*arguments), None
        except KeyboardInterrupt:
            raise
        except BaseException as raised:  # noqa: BLE001 - every failure belongs to its item
            error = raised
    return None, error


class _Timed:
    """Calls a function with a limit on its time."""

    def __init__(self, fn: Callable[..., Any], seconds: float) -> None:
        self._fn = fn
        self._seconds = seconds

    def __call__(self, *arguments: Any) -> Any:
        outcome: SimpleQueue[tuple[list[Any], dict[int, BaseException] | None, float]] = SimpleQueue()
        worker = current_worker()

        def run() -> None:
            if worker is not None:
                enter_thread(worker)
            outcome.put(run_chunk(self._fn, [arguments], star=True))

        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(run,), name="corewise-serial", daemon=True).start()
        try:
            results, failures, _ = outcome.get(timeout=self._seconds)
        except Empty:
            raise ItemTimeoutError(f"map: an item ran longer than item_timeout={self._seconds} seconds") from None
        if failures is not None:
            raise failures[0]
        return results[0]
