"""A set of indexes, kept as ranges: a run that is nearly in order needs a handful of numbers for millions of items."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

__all__ = ["Ranges"]


class Ranges:
    """Indexes from 0, each added once. Not safe for use by several threads at once.

    Example:
        >>> done = Ranges([(0, 3)])
        >>> done.add(4)
        >>> done.as_pairs(), done.missing(), done.end, done.count
        ([(0, 3), (4, 5)], [3], 5, 4)
    """

    def __init__(self, pairs: Iterable[tuple[int, int]] = ()) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []
        self.count: int = 0
        for start, stop in pairs:
            self._starts.append(start)
            self._stops.append(stop)
            self.count += stop - start

    def add(self, index: int) -> None:
        """Add an index that is not there yet."""
        self.count += 1
        starts, stops = self._starts, self._stops
        if stops and stops[-1] == index:
            stops[-1] += 1
            return
        place = bisect_right(starts, index)
        after_left = place > 0 and stops[place - 1] == index
        before_right = place < len(starts) and starts[place] == index + 1
        if after_left and before_right:
            stops[place - 1] = stops.pop(place)
            del starts[place]
        elif after_left:
            stops[place - 1] += 1
        elif before_right:
            starts[place] -= 1
        else:
            starts.insert(place, index)
            stops.insert(place, index + 1)

    @property
    def end(self) -> int:
        """The first index behind all that are there."""
        return self._stops[-1] if self._stops else 0

    def missing(self) -> list[int]:
        """Return the indexes below ``end`` that are not there."""
        gaps = zip([0, *self._stops[:-1]], self._starts, strict=True) if self._starts else ()
        return [index for start, stop in gaps for index in range(start, stop)]

    def as_pairs(self) -> list[tuple[int, int]]:
        """Return the ranges as pairs of the first index and the first index behind."""
        return list(zip(self._starts, self._stops, strict=True))
