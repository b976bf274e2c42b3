"""The input of a map: items, taken as there is room for them."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from time import monotonic
from typing import Any

from corewise.executors.options import MapOptions
from corewise.executors.sizing import ChunkSizer, known_length

__all__ = ["Feed"]

PATIENCE_SECONDS = 0.004
"""How long the input may take to fill one chunk: a slow one sends what it has."""
BURST_GROWTH = 4
"""After a pause a chunk has one item, and each that came without another pause so many times more."""
LARGEST_BURST = 1 << 20
_AT_HAND = frozenset({bytearray, bytes, deque, dict, frozenset, list, range, set, str, tuple})
"""Types whose iterators never wait for anything, so that nobody need look at the clock between two items."""


class Feed:
    """Takes items from the inputs, a chunk at a time. Belongs to the thread that consumes the map.

    Args:
        iterables: The inputs; the shortest ends the map.
        workers: How many workers share the items.
        options: How the map runs.
        chunk_seconds: What one chunk should take.

    Attributes:
        position: Index of the next item.
        ended: Whether there are no more items.
        error: What the input raised; it is kept until all that came before it has been handed out.
        slow: Whether the input took its time to fill the last chunk.
        seconds: How long it took, where somebody looked; else 0.
        sizer: Chooses the sizes of chunks.
    """

    def __init__(
        self, iterables: tuple[Iterable[Any], ...], workers: int, options: MapOptions, chunk_seconds: float
    ) -> None:
        self.position: int = 0
        self.ended: bool = False
        self.error: Exception | None = None
        self.slow: bool = False
        self.seconds: float = 0.0
        self.sizer: ChunkSizer = ChunkSizer(
            workers, options.chunksize, options.buffersize, known_length(iterables), seconds=chunk_seconds
        )
        # One iterable gives its items as they are, several give tuples of arguments.
        self._items: Iterator[Any] = iter(iterables[0]) if len(iterables) == 1 else zip(*iterables, strict=False)
        self._at_hand = all(type(iterable) in _AT_HAND for iterable in iterables)
        self._burst = LARGEST_BURST
        self._singly = options.item_timeout is not None

    def take(self, held: int) -> list[Any]:
        """Take the items of the next chunk; none where the input has ended or no more may be held.

        Args:
            held: How many items run, or wait to be handed out.
        """
        if self.ended:
            return []
        size = self.sizer.next_size(self.sizer.capacity - held)
        if size < 1:
            return []
        items = self._gather(min(size, 1) if self._singly else size)
        self.position += len(items)
        self.sizer.took(len(items))
        return items

    def _gather(self, size: int) -> list[Any]:
        items: list[Any] = []
        try:
            if self._at_hand:
                items.extend(itertools.islice(self._items, size))
                self.ended = len(items) < size
            else:
                self._wait_for_items(items, min(size, self._burst))
        except Exception as error:  # noqa: BLE001 - whatever the input raises is raised in its turn
            self.ended = True
            self.error = error
        return items

    def _wait_for_items(self, items: list[Any], size: int) -> None:
        """Take items one by one, and stop where the input has been slow.

        What was taken when the input pauses waits with it. So chunks are small behind a pause, and grow again.
        """
        begin = now = monotonic()
        until = begin + PATIENCE_SECONDS
        add = items.append
        for item in itertools.islice(self._items, size):
            add(item)
            now = monotonic()
            if now > until:
                break
        self.ended = len(items) < size and now <= until
        self.slow = now > until
        self.seconds = now - begin
        self._burst = 1 if self.slow else min(self._burst * BURST_GROWTH, LARGEST_BURST)
