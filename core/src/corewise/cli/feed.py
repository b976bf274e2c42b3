"""The items of an input on their way to the engine, with the index of each."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from corewise.cli.outputs.ranges import Ranges
from corewise.cli.usage import InputError, UsageError

__all__ = ["Feed"]


class Feed:
    """Yields ``(index, item)`` for each item that is not done yet, and remembers the items that are under way.

    The engine takes from it in the thread that consumes the outcomes, so that nothing needs a lock. It holds no more
    items than the engine has in flight.

    Args:
        items: All items, done ones included.
        done: The indexes of those that need not run.
        limit: How many of all items are looked at, None for all.

    Raises:
        InputError: While iterating: the input is malformed. The engine passes it on behind the outcomes of all items
            before that place.
    """

    def __init__(self, items: Iterable[Any], done: Ranges, limit: int | None = None) -> None:
        self._items = items
        self._limit = None if limit is None else min(limit, sys.maxsize)  # islice takes no more
        self._missing = done.missing()
        self._behind = done.end
        self._under_way: dict[int, Any] = {}

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        wanted = set(self._missing)
        try:
            for index, item in enumerate(itertools.islice(self._items, self._limit)):
                if index >= self._behind or index in wanted:
                    self._under_way[index] = item
                    yield index, item
        except UsageError as error:
            raise InputError(str(error)) from error

    def index_at(self, position: int) -> int:
        """Return the index of the item that was the ``position``-th to be yielded."""
        known = len(self._missing)
        return self._missing[position] if position < known else self._behind + position - known

    def take(self, index: int) -> Any:
        """Return the item of this index, and forget it: its outcome has arrived."""
        return self._under_way.pop(index)
