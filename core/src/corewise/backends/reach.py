"""The limits of ``limit()`` that are in force in this process, and whom they reach beside the thread that asked.

Of some libraries each thread has a count of its own, which no other thread can change. So a limit is written down here,
and worker threads look before each task. It reaches all of them; one that a worker thread asked for reaches those of
the executors that were opened inside that worker, not its siblings.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

import attrs

__all__ = ["LimitsInForce", "Place", "TemporaryLimits", "in_force"]

Place = tuple[object, ...]
"""The worker threads that a thread is inside of, outermost first and itself last; empty where it is no worker."""


@attrs.frozen(eq=False)
class TemporaryLimits:
    """What one ``limit()`` asks while it is in force.

    Attributes:
        threads: Threads by the name of the backend.
        place: Where the thread stands that asked.
        holder: Identifier of that thread.
    """

    threads: Mapping[str, int]
    place: Place
    holder: int = attrs.field(factory=threading.get_ident)


class LimitsInForce:
    """The limits in force, in the order in which they began, and the place of every thread.

    Not safe for several threads by itself: ``BackendLimits`` holds a lock. Only ``news`` is read without.

    Attributes:
        news: Changes whenever a worker thread has something to look at: a limit that began or ended, or a library
            that was loaded.
    """

    def __init__(self) -> None:
        self.news: int = 0
        self._limits: list[TemporaryLimits] = []
        self._local = threading.local()

    @property
    def here(self) -> Place:
        """The place of the calling thread."""
        places = self._places
        return places[-1] if places else ()

    def enter(self, above: Place) -> None:
        """Make the calling thread a worker of an executor that was opened at the place ``above``."""
        self._places.append((*above, object()))

    def leave(self) -> None:
        """End that."""
        self._places.pop()

    def add(self, limits: TemporaryLimits) -> None:
        """Begin a limit."""
        self._limits.append(limits)
        self.news += 1

    def remove(self, limits: TemporaryLimits) -> None:
        """End a limit; nothing where it did not begin."""
        if limits in self._limits:
            self._limits.remove(limits)
            self.news += 1

    def reaching(self, place: Place) -> list[TemporaryLimits]:
        """Return the limits that hold for workers at a place, and for what is started there."""
        return [each for each in self._limits if each.place == place[: len(each.place)]]

    def most(self, place: Place) -> dict[str, int]:
        """Return how many threads each backend may have there: of each thread the newest limit counts, then the least.

        A backend of which nobody asks anything is not in it.
        """
        newest: dict[str, dict[int, int]] = {}
        for each in self.reaching(place):
            for name, threads in each.threads.items():
                newest.setdefault(name, {})[each.holder] = threads
        return {name: min(by_thread.values()) for name, by_thread in newest.items()}

    def forget_other_threads(self) -> None:
        """End, in a forked child, the limits of threads that it does not have."""
        for each in list(self._limits):
            if each.holder != threading.get_ident():
                self.remove(each)

    @property
    def _places(self) -> list[Place]:
        places: list[Place] = self._local.__dict__.setdefault("places", [])
        return places


in_force: LimitsInForce = LimitsInForce()
"""Those of this process, whichever runtime they began with: an executor may outlive ``reset``."""
