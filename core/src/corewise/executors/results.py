"""What has come back of a map and waits to be handed out."""

from __future__ import annotations

from typing import Any

__all__ = ["Results", "Segment"]

Segment = tuple[int, list[Any], "dict[int, BaseException] | None"]
"""Consecutive results: index of the first, the results, the errors by position."""


class Results:
    """Segments by the index of their first item. Belongs to the thread that consumes the map.

    Args:
        ordered: Whether they are handed out in the order of the items.
    """

    def __init__(self, *, ordered: bool) -> None:
        self._ordered = ordered
        self._next = 0
        self._segments: dict[int, Segment] = {}

    def add(self, start: int, results: list[Any], failures: dict[int, BaseException] | None = None) -> None:
        """Keep the results of the items from ``start`` on."""
        self._segments[start] = (start, results, failures)

    def fail(self, start: int, error: BaseException) -> None:
        """Keep that the item at ``start`` failed."""
        self.add(start, [None], {0: error})

    def ready(self) -> bool:
        """Whether a segment can be handed out."""
        return self._next in self._segments if self._ordered else bool(self._segments)

    def pop(self) -> Segment:
        """Hand out the segment that comes next; one must be ready."""
        segment = self._segments.pop(self._next if self._ordered else next(iter(self._segments)))
        self._next = segment[0] + len(segment[1])
        return segment
