"""A chunk of items, how a worker runs it, and what comes back. Imported by every worker: it imports next to nothing."""

from __future__ import annotations

from sys import getrefcount
from time import perf_counter

from corewise.executors.frozen import ATOMS, freeze_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

__all__ = ["Chunk", "ChunkOutcome", "run_chunk"]


class Chunk:
    """Consecutive items of one map, to be run by one worker, in order.

    Attributes:
        items: The arguments; tuples of arguments where ``star`` is set.
        star: Whether an item is a tuple to be unpacked into the call.
        stop_on_error: Whether the items after the first failing one need not run.
        item_timeout: Seconds that one item may take, None for no limit. Such chunks hold a single item.
    """

    __slots__ = ("item_timeout", "items", "star", "stop_on_error")

    def __init__(
        self,
        items: Sequence[Any],
        *,
        star: bool = False,
        stop_on_error: bool = False,
        item_timeout: float | None = None,
    ) -> None:
        self.items: Sequence[Any] = items
        self.star: bool = star
        self.stop_on_error: bool = stop_on_error
        self.item_timeout: float | None = item_timeout

    def __reduce__(self) -> tuple[Any, ...]:
        return _chunk, (self.items, self.star, self.stop_on_error, self.item_timeout)


def _chunk(items: Sequence[Any], star: bool, stop_on_error: bool, item_timeout: float | None) -> Chunk:
    return Chunk(items, star=star, stop_on_error=stop_on_error, item_timeout=item_timeout)


class ChunkOutcome:
    """What running a chunk gave.

    Attributes:
        results: One result per item, None in the place of a failed one; shorter where ``stop_on_error`` ended it,
            and then the last one is the failed one's.
        failures: The exception by position of the item in the chunk; None where every item succeeded.
        seconds: How long the items took in the worker.
        size: Bytes that the results hold in memory beside the pickle; an executor that does not know says 0.
        sent: Bytes that the items took on their way to the worker, where these are many; else 0.
    """

    __slots__ = ("failures", "results", "seconds", "sent", "size")

    def __init__(
        self,
        results: list[Any],
        failures: dict[int, BaseException] | None,
        seconds: float,
        size: int = 0,
        sent: int = 0,
    ) -> None:
        self.results: list[Any] = results
        self.failures: dict[int, BaseException] | None = failures
        self.seconds: float = seconds
        self.size: int = size
        self.sent: int = sent

    def __reduce__(self) -> tuple[Any, ...]:
        return ChunkOutcome, (self.results, self.failures, self.seconds, self.size, self.sent)


def run_chunk(
    fn: Callable[..., Any],
    items: Sequence[Any],
    *,
    star: bool = False,
    stop_on_error: bool = False,
    freeze: Callable[[int, Any], Any] | None = None,
) -> tuple[list[Any], dict[int, BaseException] | None, float]:
    """Call ``fn`` on every item and return results, failures and seconds, as ``ChunkOutcome`` has them.

    Nothing that an item raises escapes, SystemExit and KeyboardInterrupt included: a worker survives its items. The
    caller may withdraw the items that have not begun by clearing the list.

    Args:
        fn: What is called.
        items: Its arguments.
        star: Whether an item is a tuple to be unpacked into the call.
        stop_on_error: Whether the items after the first failing one do not run.
        freeze: For results that are pickled after the last call: what turns one into what it is right after its own
            (``frozen.freeze``); failures are packed. Not used for a single item, which no other call can change.
    """
    results: list[Any] = []
    failures: dict[int, BaseException] | None = None
    if len(items) < 2:
        freeze = None
    begin = perf_counter()
    waiting = iter(items)
    while True:
        try:
            if freeze is None:
                _run(fn, waiting, results.append, star=star)
            else:
                _run_frozen(fn, waiting, results.append, freeze, star=star)
            break
        except BaseException as error:  # noqa: BLE001 - every failure belongs to its item
            failures = {} if failures is None else failures
            failures[len(results)] = error if freeze is None else freeze_error(error)
            results.append(None)
            if stop_on_error:
                break
    return results, failures, perf_counter() - begin


def _run(fn: Callable[..., Any], waiting: Iterator[Any], add: Callable[[Any], None], *, star: bool) -> None:
    if star:
        for arguments in waiting:
            add(fn(*arguments))
    else:
        for item in waiting:
            add(fn(item))


def _run_frozen(
    fn: Callable[..., Any],
    waiting: Iterator[Any],
    add: Callable[[Any], None],
    freeze: Callable[[int, Any], Any],
    *,
    star: bool,
) -> None:
    atom = None  # what the last immutable result was: nearly always this one is, too, and a comparison is quick
    for item in waiting:
        result = fn(*item) if star else fn(item)
        if type(result) is not atom:
            if type(result) in ATOMS:
                atom = type(result)
            else:
                result = freeze(getrefcount(result), result)
        add(result)
