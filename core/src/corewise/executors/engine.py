"""The map engine: one body of ``map`` for every executor.

Items leave in chunks, at most a few per worker; finished chunks announce themselves from the executor's threads; the
consumer's thread, and it alone, takes items from the input, collects what has arrived and hands out results. So the
input need not be thread-safe, and nothing runs on behalf of a map that nobody consumes.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Future, wait
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any

from corewise.errors import ItemTimeoutError
from corewise.executors.chunks import Chunk, ChunkOutcome
from corewise.executors.contract import AttendedExecutor, ChunkExecutor
from corewise.executors.failure import Failure, with_index
from corewise.executors.feed import PATIENCE_SECONDS, Feed
from corewise.executors.options import MapOptions
from corewise.executors.results import Results, Segment
from corewise.executors.sizing import TARGET_SECONDS

__all__ = ["start_map"]

CHUNKS_PER_WORKER = 2
"""One runs and one waits at the worker, so that no worker waits for the consumer's thread."""
LONGEST_WAIT = 1.0
"""Seconds waited at once: a signal that arrives right before the wait does not interrupt it."""
SHARE_OF_PATIENCE = 0.125
"""A slow input waits for results that may be about to come by this part of the time that it took itself."""


def start_map(
    executor: ChunkExecutor,
    workers: int,
    fn: Callable[..., Any],
    iterables: tuple[Iterable[Any], ...],
    options: MapOptions,
) -> Generator[Any, None, None]:
    """Begin to run ``fn`` over the items and return the iterator of results.

    The iterator is a generator: ``close()``, or dropping it, cancels what has not begun.

    Args:
        executor: Where chunks run.
        workers: How many chunks it can run at once.
        fn: Called with one item of each iterable.
        iterables: The inputs; the shortest ends the map.
        options: How the map runs.
    """
    results = _Map(executor, workers, fn, iterables, options).run()
    next(results)
    return results


class _Pending:
    """A chunk that is under way: where it stands in the input, and how often it was tried."""

    __slots__ = ("attempt", "deadline", "future", "items", "keeps_worker", "start")

    def __init__(self, start: int, items: Any, attempt: int) -> None:
        self.start = start
        self.items = items
        self.attempt = attempt
        self.deadline: float | None = None
        self.keeps_worker = False
        self.future: Future[ChunkOutcome]


class _EndedError(Exception):
    """Stands where the map ends because its executor did, whatever ``on_error`` says."""

    def __init__(self, reason: Exception) -> None:
        super().__init__(str(reason))
        self.reason = reason


class _Map:
    """One map, from its first chunk to its end.

    All of it belongs to the consumer's thread, but ``_arrived`` and ``_signal``, which executors' threads append to:
    both are safe without a lock. ``_arrived`` is what came back; ``_signal`` wakes the consumer. A chunk is appended
    before its signal is put, and the consumer looks for chunks after every signal that it takes, so none is missed.
    """

    def __init__(
        self,
        executor: ChunkExecutor,
        workers: int,
        fn: Callable[..., Any],
        iterables: tuple[Iterable[Any], ...],
        options: MapOptions,
    ) -> None:
        self._executor = executor
        self._attend = executor.attend if isinstance(executor, AttendedExecutor) else None
        self._options = options
        self._star = len(iterables) != 1
        self._feed = Feed(iterables, workers, options, getattr(executor, "chunk_seconds", TARGET_SECONDS))
        # Only the engine's own clock needs chunks to begin as they are submitted.
        self._timed = options.item_timeout is not None and not executor.times_items
        self._most_chunks = workers if self._timed else workers * CHUNKS_PER_WORKER
        self._give_up = None if options.timeout is None else monotonic() + options.timeout

        self._begun = False
        self._asked = False  # whether a slow input was asked since results went out last
        self._held = 0
        self._lost_slots = 0
        self._pending: set[_Pending] = set()
        self._again: deque[_Pending] = deque()
        self._results = Results(ordered=options.ordered)
        self._arrived: deque[_Pending] = deque()
        self._signal: SimpleQueue[None] = SimpleQueue()
        self._prepared = executor.prepare(fn)  # last: what raises before it leaves nothing to be released

    def run(self) -> Generator[Any, None, None]:
        """Yield None once, when the first chunks have left; then the results."""
        try:
            if self._timed:
                self._start_workers()
            self._fill(patient=False)
            self._begun = True
            yield None
            arrived = self._arrived
            while (segment := self._next_segment()) is not None:
                start, results, failures = segment
                if failures is None:
                    for result in results:
                        yield result
                        if arrived:
                            self._advance()
                    result = None
                else:
                    yield from self._with_failures(start, results, failures)
                self._held -= len(results)
                del segment, results, failures
            if self._feed.error is not None:
                raise self._feed.error
        finally:
            self._close()

    def _start_workers(self) -> None:
        """Wait until every worker has answered once: the first item's clock must not count the worker's start."""
        wait([self._executor.submit_chunk(self._prepared, Chunk([])) for _ in range(self._most_chunks)])

    def _with_failures(self, start: int, results: list[Any], failures: dict[int, BaseException]) -> Iterator[Any]:
        on_error = self._options.on_error
        for position, result in enumerate(results):
            error = failures.get(position)
            if error is None:
                yield result
            elif isinstance(error, _EndedError):
                raise error.reason
            elif on_error == "raise":
                raise with_index(error, start + position)
            elif on_error == "return":
                yield Failure(start + position, error)
            if self._arrived:
                self._advance()

    def _next_segment(self) -> Segment | None:
        """Wait for the results that come next; None at the end."""
        if self._attend is not None and self._pending:
            self._attend(0.0, self._arrived.__len__)
        self._advance()
        while True:
            if self._results.ready():
                self._asked = False
                return self._results.pop()
            if not self._pending and not self._again and self._feed.ended:
                return None
            self._wait()
            self._advance()

    def _advance(self) -> None:
        """Collect what has arrived and send what there is room for."""
        self._collect_arrived()
        if self._timed:
            self._expire()
        self._fill()

    def _collect_arrived(self) -> None:
        while self._arrived:
            with contextlib.suppress(Empty):
                self._signal.get_nowait()
            self._collect(self._arrived.popleft())

    def _fill(self, *, patient: bool = True) -> None:
        """Send what there is room for, but hand out what is ready before a slow input is asked again.

        Args:
            patient: Whether to ask a slow input again at all.
        """
        while len(self._pending) + self._lost_slots < self._most_chunks:
            if self._again:
                self._send(self._again.popleft())
                continue
            if self._asked and self._ready_soon():
                return
            taken = self._take()
            if taken is None:
                return
            self._send(taken)
            self._asked = self._feed.slow
            if self._asked and not patient:
                return

    def _ready_soon(self) -> bool:
        """Whether a result can be handed out, after a short wait for those that may be about to come."""
        if self._pending and not self._results.ready():
            self._wait(min(PATIENCE_SECONDS, self._feed.seconds * SHARE_OF_PATIENCE))
            self._collect_arrived()
        return self._results.ready()

    def _take(self) -> _Pending | None:
        """Take the next items from the input, None where it has ended or no more may be held."""
        start = self._feed.position
        items = self._feed.take(self._held)
        if not items:
            return None
        self._held += len(items)
        return _Pending(start, items, 0)

    def _send(self, pending: _Pending) -> None:
        options = self._options
        chunk = Chunk(
            pending.items,
            star=self._star,
            stop_on_error=options.on_error == "raise" and options.retries == 0,
            item_timeout=options.item_timeout,
        )
        try:
            pending.future = self._executor.submit_chunk(self._prepared, chunk)
        except Exception as error:
            if not self._begun:
                raise
            # Told in its turn: what was done before it is not lost.
            self._end(pending, error)
            return
        if self._timed and options.item_timeout is not None:
            pending.deadline = monotonic() + options.item_timeout
        self._pending.add(pending)
        pending.future.add_done_callback(_announcer(pending, self._arrived, self._signal))

    def _wait(self, longest: float = LONGEST_WAIT) -> None:
        """Wait until something arrives, or the next deadline, or so many seconds."""
        until = self._give_up
        for pending in self._pending if self._timed else ():
            if pending.deadline is not None and (until is None or pending.deadline < until):
                until = pending.deadline
        seconds = longest if until is None else min(longest, max(0.0, until - monotonic()))
        if self._attend is None or not self._attend(seconds, self._arrived.__len__):
            with contextlib.suppress(Empty):
                self._signal.get(timeout=seconds)
        if self._give_up is not None and not self._arrived and monotonic() >= self._give_up:
            raise TimeoutError(f"map: not done after timeout={self._options.timeout} seconds")

    def _collect(self, pending: _Pending) -> None:
        if pending not in self._pending:
            # Its item was given up; only now is its worker free again.
            self._lost_slots -= pending.keeps_worker
            return
        self._pending.discard(pending)
        future = pending.future
        # The future's callback knows the chunk: in a cycle, items and results would wait for the garbage collector.
        del pending.future
        try:
            outcome = future.result()
        except (BrokenExecutor, CancelledError) as error:
            self._end(pending, error)
            return
        except Exception as error:  # noqa: BLE001 - the chunk as a whole failed: find the item that is to blame
            self._isolate(pending, error)
            return
        results, failures = outcome.results, outcome.failures
        self._feed.sizer.measured(len(results), outcome.seconds, outcome.size + outcome.sent)
        if failures is None:
            self._results.add(pending.start, results)
        elif pending.attempt < self._options.retries:
            self._split(pending, results, failures)
        else:
            self._results.add(pending.start, results, failures)

    def _split(self, pending: _Pending, results: list[Any], failures: dict[int, BaseException]) -> None:
        """Keep what succeeded, and send each failed item again by itself."""
        begin = 0
        for position in [*sorted(failures), len(results)]:
            if position > begin:
                self._results.add(pending.start + begin, results[begin:position])
            if position < len(results):
                item = pending.items[position]
                self._again.append(_Pending(pending.start + position, [item], pending.attempt + 1))
            begin = position + 1

    def _isolate(self, pending: _Pending, error: Exception) -> None:
        """Send the items of a chunk that could not be run or answered again, each by itself."""
        if len(pending.items) == 1:
            self._results.fail(pending.start, error)
            return
        for position, item in enumerate(pending.items):
            self._again.append(_Pending(pending.start + position, [item], pending.attempt))

    def _end(self, pending: _Pending, error: Exception) -> None:
        """Let the map end where this chunk stands, because its executor takes or finishes no more.

        What waits to be tried again may stand before this chunk: it ends the map as well.
        """
        self._feed.ended = True
        for left in (pending, *self._again):
            self._results.fail(left.start, _EndedError(error))
        self._again.clear()

    def _expire(self) -> None:
        """End the items that have run out of time."""
        now = monotonic()
        for pending in [p for p in self._pending if p.deadline is not None and p.deadline <= now]:
            if pending.future.done():
                continue
            self._pending.discard(pending)
            if pending.future.cancel():
                # It had not begun: somebody else's work was before it.
                self._again.append(_Pending(pending.start, pending.items, pending.attempt))
                continue
            pending.keeps_worker = not self._executor.give_up(pending.future)
            self._lost_slots += pending.keeps_worker
            seconds = self._options.item_timeout
            error = ItemTimeoutError(f"map: item {pending.start}: ran longer than item_timeout={seconds} seconds")
            if pending.attempt < self._options.retries:
                self._again.append(_Pending(pending.start, pending.items, pending.attempt + 1))
            else:
                self._results.fail(pending.start, error)

    def _close(self) -> None:
        for pending in self._pending:
            self._executor.end_chunk(pending.future)
        self._pending.clear()
        self._executor.release(self._prepared)


def _announcer(
    pending: _Pending, arrived: deque[_Pending], signal: SimpleQueue[None]
) -> Callable[[Future[ChunkOutcome]], None]:
    def announce(_: Future[ChunkOutcome]) -> None:
        arrived.append(pending)
        signal.put(None)

    return announce
