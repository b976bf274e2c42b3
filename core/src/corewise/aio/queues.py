"""Requests that wait, and which of them leave together next.

A request is a plain tuple ``(item, reply, context, arrived)``: it is made once per call, and a class would double what
a call costs. Queues are touched only in the thread of their event loop, so they need no lock.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import heapq
import math
from collections import deque
from collections.abc import Hashable
from contextvars import Context
from typing import Any, Protocol, TypeAlias

from corewise.aio.options import BatchOptions

__all__ = ["Keyed", "Line", "Pile", "Queue", "Reply", "Request", "make_queue"]

Reply: TypeAlias = asyncio.Future[Any] | concurrent.futures.Future[Any]
Request: TypeAlias = tuple[Any, Reply, Context | None, float]


class Queue(Protocol):
    """Requests that wait in one event loop."""

    def __len__(self) -> int:
        """Return how many wait."""

    def append(self, request: Request) -> None:
        """Put a request at the end; what the user's weight or key raise comes out here."""

    def take(self, *, due: bool) -> list[Request]:
        """Remove and return the next batch: the oldest request's where that is `due`, else one that is full."""

    def first(self) -> Request:
        """Return the oldest request; not for an empty queue."""

    def full(self) -> bool:
        """Say whether a whole batch is there, so that waiting would gain nothing."""

    def purge(self) -> None:
        """Drop the requests whose callers are gone."""

    def drain(self) -> list[Request]:
        """Remove and return all."""


class Pile(list[Request]):
    """All that waits travels together; only the request that finds the pile empty knows its context and arrival."""

    def take(self, *, due: bool) -> list[Request]:  # noqa: ARG002 - one pile has no choice
        """Remove and return all."""
        requests = self[:]
        self.clear()
        return requests

    def first(self) -> Request:
        """Return the oldest request."""
        return self[0]

    def full(self) -> bool:
        """Say no: there is no bound."""
        return False

    def purge(self) -> None:
        """Drop the requests whose callers are gone."""
        self[:] = [request for request in self if not request[1].done()]

    def drain(self) -> list[Request]:
        """Remove and return all."""
        return self.take(due=True)


class Line:
    """First in, first out, cut by number and weight."""

    def __init__(self, options: BatchOptions) -> None:
        self._max_size = options.max_batch_size
        self._weigh = options.weight
        self._max_weight = math.inf if options.max_weight is None else options.max_weight
        self.requests: deque[Request] = deque()
        self._weights: deque[float] = deque()
        self._weight = 0.0
        if self._weigh is None:
            self.append = self.requests.append  # type: ignore[method-assign, assignment] # the same, without a Python call

    def __len__(self) -> int:
        return len(self.requests)

    def append(self, request: Request) -> None:
        """Put a request at the end."""
        if self._weigh is not None:
            weight = float(self._weigh(request[0]))
            self._weights.append(weight)
            self._weight += weight
        self.requests.append(request)

    def take(self, *, due: bool) -> list[Request]:  # noqa: ARG002 - one line has no choice
        """Remove and return as many as may travel together, at least one."""
        size = self._cut()
        if size >= len(self.requests):
            return self.drain()
        for _ in range(size if self._weights else 0):
            self._weight -= self._weights.popleft()
        return [self.requests.popleft() for _ in range(size)]

    def _cut(self) -> int:
        limit = len(self.requests) if self._max_size is None else min(self._max_size, len(self.requests))
        if self._weight <= self._max_weight:
            return limit
        total, size = 0.0, 0
        for weight in self._weights:
            total += weight
            if size == limit or (size and total > self._max_weight):
                break
            size += 1
        return size

    def first(self) -> Request:
        """Return the oldest request."""
        return self.requests[0]

    def full(self) -> bool:
        """Say whether the size or the weight of a batch is reached."""
        return self._weight >= self._max_weight or (self._max_size is not None and len(self.requests) >= self._max_size)

    def purge(self) -> None:
        """Drop the requests whose callers are gone."""
        kept = [place for place, request in enumerate(self.requests) if not request[1].done()]
        if len(kept) == len(self.requests):
            return
        requests, weights = self.drain_with_weights()
        self.requests.extend(requests[place] for place in kept)
        if weights:
            self._weights.extend(weights[place] for place in kept)
            self._weight = sum(self._weights)

    def drain_with_weights(self) -> tuple[list[Request], list[float]]:
        """Remove and return all, and their weights where they are weighed."""
        weights = list(self._weights)
        return self.drain(), weights

    def drain(self) -> list[Request]:
        """Remove and return all."""
        requests = list(self.requests)
        self.requests.clear()
        self._weights.clear()
        self._weight = 0.0
        return requests


class Keyed:
    """One line per key; the line whose first request is the oldest goes first, so that no key starves another.

    ``_heads`` is a heap of (arrival of a line's first request, tie-breaker, key). An entry whose line has moved on in
    the meantime is out of date and is skipped when it comes up.
    """

    def __init__(self, options: BatchOptions) -> None:
        assert options.key is not None  # noqa: S101 - make_queue asks for this class only then
        self._options = options
        self._key = options.key
        self._lines: dict[Hashable, Line] = {}
        self._heads: list[tuple[float, int, Hashable]] = []
        self._full: dict[Hashable, None] = {}
        self._pushed = 0
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def append(self, request: Request) -> None:
        """Put a request at the end of its key's line."""
        key = self._key(request[0])
        line = self._lines.get(key)
        if line is None:
            line = Line(self._options)
            line.append(request)
            self._lines[key] = line
            self._push(key, line)
        else:
            line.append(request)
        self._length += 1
        if line.full():
            self._full[key] = None

    def _push(self, key: Hashable, line: Line) -> None:
        self._pushed += 1
        heapq.heappush(self._heads, (line.first()[3], self._pushed, key))

    def _oldest(self) -> Hashable:
        while True:
            arrived, _, key = self._heads[0]
            line = self._lines.get(key)
            if line is not None and line.first()[3] == arrived:
                return key
            heapq.heappop(self._heads)

    def take(self, *, due: bool) -> list[Request]:
        """Remove and return the next batch."""
        key = next(iter(self._full)) if self._full and not due else self._oldest()
        line = self._lines[key]
        requests = line.take(due=due)
        self._length -= len(requests)
        self._full.pop(key, None)
        if not line:
            del self._lines[key]
            return requests
        self._push(key, line)
        if line.full():
            self._full[key] = None
        return requests

    def first(self) -> Request:
        """Return the oldest request of all."""
        return self._lines[self._oldest()].first()

    def full(self) -> bool:
        """Say whether some line is full."""
        return bool(self._full)

    def purge(self) -> None:
        """Drop the requests whose callers are gone; the others stay in their lines, for the key may raise by now."""
        for line in self._lines.values():
            line.purge()
        self._lines = {key: line for key, line in self._lines.items() if line}
        self._full = {key: None for key in self._full if key in self._lines and self._lines[key].full()}
        self._length = sum(map(len, self._lines.values()))
        self._heads.clear()
        for key, line in self._lines.items():
            self._push(key, line)

    def drain(self) -> list[Request]:
        """Remove and return all, in order of arrival."""
        requests = [request for line in self._lines.values() for request in line.requests]
        self._lines.clear()
        self._heads.clear()
        self._full.clear()
        self._length = 0
        return sorted(requests, key=lambda request: request[3])


def make_queue(options: BatchOptions) -> Queue:
    """Return the simplest queue that serves the options."""
    if options.key is not None:
        return Keyed(options)
    if options.max_batch_size is None and options.weight is None:
        return Pile()
    return Line(options)
