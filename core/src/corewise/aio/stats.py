"""What a batcher has done so far."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Mapping

import attrs

__all__ = ["BatchReport", "BatchStats", "Recorder"]

# How many batches are put down before they are summed up, which takes longer.
_MOST_FRESH = 1000


@attrs.frozen(kw_only=True)
class BatchReport:
    """One batch that has ended.

    Attributes:
        name: Name of the batch function.
        size: Items that were sent.
        calls: Calls of the batch function; more than 1 where a bad item had to be found.
        failed: Requests that ended with an exception.
        waited: Seconds that the oldest request waited before it was sent.
        duration: Seconds from sending to the last answer.
    """

    name: str
    size: int
    calls: int
    failed: int
    waited: float
    duration: float


@attrs.frozen(kw_only=True)
class BatchStats:
    """Totals of a batcher, over all event loops and threads.

    Attributes:
        batches: Batches that have ended.
        items: Items that were sent in them.
        calls: Calls of the batch function.
        failed: Requests that ended with an exception.
        sizes: How many batches had at most so many items, by powers of two: ``{1: 4, 8: 2}`` is four batches of one
            item and two of five to eight.
        waited_mean: Mean over the batches of the seconds that the oldest request waited.
        waited_max: The longest of these waits in seconds.
        queued: Requests that wait now; those beyond ``max_queue`` not counted.
        blocked: Requests that wait now for room in a full queue.
        running: Batches that run now.
    """

    batches: int
    items: int
    calls: int
    failed: int
    sizes: Mapping[int, int]
    waited_mean: float
    waited_max: float
    queued: int
    blocked: int
    running: int


class Recorder:
    """Sums up batches, which end in many threads.

    They are put down in ``_fresh``, whose ``append`` and ``popleft`` are atomic; ``_lock`` guards all else.
    """

    def __init__(self) -> None:
        self._fresh: deque[tuple[int, int, int, float]] = deque()
        self._lock = threading.Lock()
        self._batches = self._items = self._calls = self._failed = 0
        self._sizes = [0] * 64  # by the bits of size - 1
        self._waited = self._waited_max = 0.0

    def record(self, size: int, calls: int, failed: int, waited: float) -> None:
        """Add a batch that has ended; `waited` in seconds."""
        self._fresh.append((size, calls, failed, waited))
        if len(self._fresh) > _MOST_FRESH:
            with self._lock:
                self._sum_up()

    def _sum_up(self) -> None:
        """Add the fresh ones, column by column: a loop over them would cost each batch half a microsecond."""
        fresh = [self._fresh.popleft() for _ in range(len(self._fresh))]  # nobody else takes from it: the lock is held
        if not fresh:
            return
        sizes, calls, failed, waited = zip(*fresh, strict=True)
        self._batches += len(fresh)
        self._items += sum(sizes)
        self._calls += sum(calls)
        self._failed += sum(failed)
        self._waited += sum(waited)
        self._waited_max = max(self._waited_max, *waited)
        for size, count in Counter(sizes).items():
            self._sizes[(size - 1).bit_length()] += count

    def stats(self, *, queued: int, blocked: int, running: int) -> BatchStats:
        """Return the totals, completed by what waits and runs now."""
        with self._lock:
            self._sum_up()
            return BatchStats(
                batches=self._batches,
                items=self._items,
                calls=self._calls,
                failed=self._failed,
                sizes={1 << bits: count for bits, count in enumerate(self._sizes) if count},
                waited_mean=self._waited / self._batches if self._batches else 0.0,
                waited_max=self._waited_max,
                queued=queued,
                blocked=blocked,
                running=running,
            )
