"""An answer that comes later, so that a worker can take its next task while this one waits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from time import perf_counter
from typing import Any, Protocol

from corewise.executors.chunks import ChunkOutcome

__all__ = ["Answer", "Deferred", "Witness", "settled", "watch", "witness"]


class Witness(Protocol):
    """Learns which of the calls that answer later runs, so that it is known when the worker dies."""

    def call(self) -> int:
        """Return a number for the call that is being made, never 0; asked in the thread that makes it."""

    def stop_clock(self) -> None:
        """Note that what runs now is not the time of the call that is being made."""

    def start_clock(self) -> None:
        """Note that the time of the call that is being made begins now."""

    def runs(self, call: int) -> None:
        """Note that the call of a number runs, or with 0 that none does; told in the thread of the event loop."""

    def run_beside(self, call: int, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """Run a function of a call and note that it runs; told in a thread that the event loop has given it to."""


_witness: Witness | None = None


def watch(by: Witness) -> None:
    """Let calls that answer later be watched in this process, which has one event loop for them."""
    global _witness  # noqa: PLW0603 - a fact about the process, as what it is a worker of
    _witness = by


def witness() -> Witness | None:
    """Return who watches the calls that the calling thread makes; None where nobody does.

    Only those of the main thread are the worker's: an executor that is opened inside it has threads of its own.
    """
    return _witness if threading.current_thread() is threading.main_thread() else None


class Answer(Future[Any]):
    """The future of a deferred result.

    Attributes:
        seconds: How long the call ran, written before the result where it ran in one go; None where others ran while it
            waited, so that nobody knows.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seconds: float | None = None


class Deferred:
    """What a callable returns in place of a result that a thread or an event loop will give later.

    Only a callable whose attribute ``defers`` is true may return it, and only on an executor whose factory says so
    (``ExecutorFactory.defers``).

    Attributes:
        future: Becomes done with the result.
    """

    __slots__ = ("future",)

    def __init__(self, future: Answer) -> None:
        self.future: Answer = future


def settled(outcome: ChunkOutcome, then: Callable[[ChunkOutcome], None]) -> None:
    """Call ``then`` with the outcome when every deferred result in it has come.

    It is called at once where nothing was deferred, else in the thread of the last result. The time of calls that ran
    in one go counts as time that the chunk took; where one waited for something, all the time until the last result.
    """
    waiting = [(place, result.future) for place, result in enumerate(outcome.results) if type(result) is Deferred]
    if not waiting:
        then(outcome)
        return
    left = len(waiting)
    begin = perf_counter()
    ran: float | None = 0.0
    lock = threading.Lock()

    def take(place: int, future: Answer) -> None:
        nonlocal left, ran
        error = None if future.cancelled() else future.exception()
        with lock:
            if future.cancelled() or error is not None:
                failures = {} if outcome.failures is None else outcome.failures
                failures[place] = error or RuntimeError("the call was cancelled in its worker")
                outcome.failures = failures
                outcome.results[place] = None
            else:
                outcome.results[place] = future.result()
            left -= 1
            last = left == 0
            ran = None if ran is None or future.seconds is None else ran + future.seconds
        if last:
            outcome.seconds += perf_counter() - begin if ran is None else ran
            then(outcome)

    for place, future in waiting:
        future.add_done_callback(_at(place, take))


def _at(place: int, take: Callable[[int, Answer], None]) -> Callable[[Any], None]:
    return lambda answer: take(place, answer)
