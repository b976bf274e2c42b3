"""How many items travel together: chunks that adapt to the measured duration of the items."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

__all__ = ["ChunkSizer", "known_length"]

TARGET_SECONDS = 0.004
"""What one chunk should take: long against the cost of a chunk (0.03 to 0.3 ms), short against a person's patience."""
SMALLEST_SHARE = 16
"""The tail is not cut into less than this part of a chunk: it would cost more to send than it gains."""
LARGEST_CHUNK = 8192
GROWTH = 8
"""A chunk is at most so many times the one before: an early guess must not send everything to one worker."""
WAITING_CHUNKS = 8
WAITING_ITEMS = 256
"""Default bound per worker: so many chunks, and at least so many items, may run or wait behind a slow head."""
WAITING_BYTES = 256 << 20
"""Default bound of a map: where the items under way and the results that wait would hold more, they are fewer."""


def known_length(iterables: tuple[Iterable[Any], ...]) -> int | None:
    """Return how many items ``zip(*iterables)`` has, None where one of them cannot say without being consumed."""
    lengths = [operator.length_hint(iterable, -1) for iterable in iterables]
    return None if -1 in lengths else min(lengths, default=None)


class ChunkSizer:
    """Chooses the size of the next chunk and how many items may be under way.

    Not locked: it belongs to one map, and a map is consumed by one thread at a time.

    Args:
        workers: How many workers share the items.
        chunksize: A fixed size, None to adapt.
        buffersize: At most so many items under way, None for a bound that follows the chunk size.
        length: How many items there are, None where that is not known.
        seconds: What one chunk should take.
    """

    def __init__(
        self,
        workers: int,
        chunksize: int | None,
        buffersize: int | None,
        length: int | None,
        *,
        seconds: float = TARGET_SECONDS,
    ) -> None:
        self._seconds = seconds
        self._workers = workers
        self._fixed = chunksize
        self._buffersize = buffersize
        self._left = length
        self._target = 1
        self._bytes_per_item: float = 0.0
        self._per_item: float | None = None

    @property
    def capacity(self) -> int:
        """How many items may run or wait at once."""
        if self._buffersize is not None:
            return self._buffersize
        size = self._fixed or self._target
        most = self._workers * max(WAITING_CHUNKS * size, WAITING_ITEMS)
        if self._bytes_per_item > 0:
            # Large ones wait in smaller numbers, but enough of them that no worker waits.
            most = min(most, max(2 * self._workers * size, int(WAITING_BYTES / self._bytes_per_item)))
        return most

    def next_size(self, room: int) -> int:
        """Return the size of the next chunk where ``room`` more items may be under way; less than 1 for none."""
        if self._fixed is not None:
            return min(self._fixed, room)
        size = self._target
        if self._buffersize is not None:
            size = min(size, max(1, self._buffersize // (2 * self._workers)))
        if self._left is not None:
            # The tail is spread: half of what is left goes round before the next look.
            size = min(size, max(1, size // SMALLEST_SHARE, self._left // (2 * self._workers)))
        return min(size, room)

    def took(self, items: int) -> None:
        """Note that a chunk of so many items has left."""
        if self._left is not None:
            self._left = max(0, self._left - items)

    def measured(self, items: int, seconds: float, size: int = 0) -> None:
        """Learn from a chunk that has come back: how long it took, and how many bytes its items and results hold."""
        if items:
            # What is large at once, and small only after a while: a guess that is too low costs memory.
            held = size / items
            self._bytes_per_item = max(held, 0.7 * self._bytes_per_item + 0.3 * held)
        if self._fixed is not None or items == 0:
            return
        sample = seconds / items
        self._per_item = sample if self._per_item is None else 0.7 * self._per_item + 0.3 * sample
        wanted = int(self._seconds / max(self._per_item, 1e-9))
        grown = max(self._target, items) * GROWTH
        self._target = max(1, min(wanted, grown, self._largest()))

    def _largest(self) -> int:
        """Return how many items a chunk may have: two for each worker must not hold more than may wait."""
        if self._bytes_per_item <= 0:
            return LARGEST_CHUNK
        return min(LARGEST_CHUNK, int(WAITING_BYTES / (2 * self._workers * self._bytes_per_item)))
