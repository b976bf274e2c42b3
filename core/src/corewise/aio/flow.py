"""Which calls leave next, for which worker, and how many of them in one message."""

from __future__ import annotations

from collections import deque
from time import monotonic

from corewise.actor_pool import CONCURRENT_CALLS
from corewise.aio.delivery import Call
from corewise.aio.splitting import Speeds

__all__ = ["PATIENCE", "Flow", "Place"]

TARGET = 0.002
"""Seconds that the calls of one message should take."""
MOST = 256
GROWTH = 8.0
WORTH_TWO = 2.0
"""A method of which so many calls make a message is quick: a second message may wait at the worker."""
PATIENCE = 0.02
"""Seconds after which messages of quick methods that are not answered hold up no other ones."""


class Place:
    """What one worker has to do.

    Attributes:
        index: Which worker.
        chunks: How many messages it has not answered.
        calls: How many calls are in them.
        quick: How many of the messages hold calls of quick methods.
        since: When the last of these left, by ``time.monotonic``.
    """

    __slots__ = ("calls", "chunks", "index", "quick", "since")

    def __init__(self, index: int) -> None:
        self.index: int = index
        self.chunks: int = 0
        self.calls: int = 0
        self.quick: int = 0
        self.since: float = 0.0


class Flow:
    """The queue of calls, what each worker has to do, and how long methods take. Its user's lock guards all of it.

    Args:
        workers: How many there are.
        overlapping: Whether a worker takes more calls while others of its calls wait.
        together: Whether calls of one worker run at once if they travel together, and only then.

    Attributes:
        queue: The calls that wait, oldest first.
        places: The workers.
        speeds: How fast each worker does the items of batches.
        together: As above.
    """

    def __init__(self, workers: int, *, overlapping: bool, together: bool) -> None:
        self.queue: deque[Call] = deque()
        self.places: list[Place] = [Place(index) for index in range(workers)]
        self.speeds: Speeds = Speeds(workers)
        self.together = together
        self._overlapping = overlapping
        self._sizes: dict[str, float] = {}
        self._under_way: dict[int, list[Call]] = {}

    def idle(self) -> bool:
        """Say whether nobody waits and nothing is under way; a call whose caller was cancelled waits no more."""
        return not any(place.chunks for place in self.places) and all(call.reply.done() for call in self.queue)

    def drop(self) -> tuple[list[Call], list[Call]]:
        """Empty the queue; return the calls that waited there, and those that are under way."""
        waiting = [*self.queue]
        self.queue.clear()
        return waiting, [call for calls in self._under_way.values() for call in calls]

    def take(self) -> tuple[Place, list[Call]] | None:
        """Return the next chunk and where it goes, None where there is no chunk or no room."""
        queue = self.queue
        while queue and queue[0].reply.done():
            queue.popleft()
        if not queue:
            return None
        quick = self._sizes.get(queue[0].method, 1.0) >= WORTH_TWO
        places = self._roomy(quick=quick)
        if not places:
            return None
        place = min(places, key=_load)
        calls = self._chunk(-(-len(queue) // len(places)))
        self.occupy(place, calls, quick=quick)
        return place, calls

    def _roomy(self, *, quick: bool) -> list[Place]:
        """Return who may take a message now.

        Quick calls wait for the answer of earlier ones even where they could overlap, or else each would travel alone
        as soon as the caller before it has its answer.
        """
        if self._overlapping:
            able = [place for place in self.places if place.calls < CONCURRENT_CALLS]
            return [place for place in able if place.quick < 2] if quick else able
        free = [place for place in self.places if place.chunks == 0]
        if free or not quick:
            return free
        return [place for place in self.places if place.chunks == 1 and place.quick]

    def holding(self) -> bool:
        """Say whether calls wait for no more than the answers of quick ones, which may turn out to be slow."""
        return self._overlapping and bool(self.queue) and any(place.calls < CONCURRENT_CALLS for place in self.places)

    def lose_patience(self) -> None:
        """Let messages that were taken for quick, and were not answered in time, hold up no other ones."""
        overdue = monotonic() - PATIENCE
        for place in self.places:
            if place.since <= overdue:
                place.quick = 0

    def _chunk(self, most: int) -> list[Call]:
        """Take calls from the queue that together should take no longer than the target.

        Longer calls of one async method go together too, where that is the only way for them to run at once.
        """
        queue, sizes = self.queue, self._sizes
        calls: list[Call] = []
        used = 0.0
        while queue and len(calls) < most:
            call = queue[0]
            if calls and call.alone:
                break
            if not call.reply.done():
                used += 1 / sizes.get(call.method, 1.0)
                if calls and used > 1 and not self._may_join(calls, call):
                    break
                calls.append(call)
                if call.alone:
                    queue.popleft()
                    break
            queue.popleft()
        return calls

    def _may_join(self, calls: list[Call], call: Call) -> bool:
        if not self.together or len(calls) >= CONCURRENT_CALLS:
            return False
        return calls[0].method == call.method and self._sizes.get(call.method, 1.0) < WORTH_TWO

    def occupy(self, place: Place, calls: list[Call], *, quick: bool) -> None:
        """Note that a chunk leaves for a worker; this very list is to be given to ``free``."""
        self._under_way[id(calls)] = calls
        place.chunks += 1
        place.calls += len(calls)
        calls[0].quick = quick
        if quick:
            place.quick += 1
            place.since = monotonic()

    def free(self, place: Place, calls: list[Call]) -> None:
        """Note that a chunk has come back."""
        del self._under_way[id(calls)]
        place.chunks -= 1
        place.calls -= len(calls)
        if calls[0].quick and place.quick:
            place.quick -= 1

    def learn(self, place: Place, calls: list[Call], seconds: float) -> None:
        """Learn from what a chunk took, in seconds."""
        if len(calls) == 1 and calls[0].items:
            self.speeds.measured(calls[0].method, place.index, calls[0].items, seconds)
        sizes = self._sizes
        expected = TARGET * sum(1 / sizes.get(call.method, 1.0) for call in calls)
        factor = min(expected / max(seconds, 1e-7), GROWTH)
        if factor > 1 or seconds > TARGET:
            for method in {call.method for call in calls}:
                sizes[method] = min(max(1.0, sizes.get(method, 1.0) * factor), float(MOST))


def _load(place: Place) -> tuple[int, int]:
    return place.chunks, place.calls
