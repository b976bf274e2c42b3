"""Whether waiting for company pays."""

from __future__ import annotations

from time import monotonic

__all__ = ["Patience"]

# The most waits in a row that are left out once waiting has proved fruitless.
_MOST_SKIPPED = 63


class Patience:
    """How long the oldest request of a lane should wait for company; touched in the lane's thread only.

    A caller who asks again only after his answer came gains nothing by waiting, however often it is tried. So after
    a wait that brought no company the next one is left out while nothing runs, after another one the next three,
    then seven, up to 63; a wait that brought some starts anew.

    Args:
        max_delay: The longest wait in seconds; 0 for never.
    """

    def __init__(self, max_delay: float) -> None:
        self.max_delay = max_delay
        self._skip = 0
        self._skipped = 0
        self._begun_with = 0

    def left(self, arrived: float, waiting: int, *, idle: bool) -> float:
        """Return the seconds to wait from now on; 0 or less to send at once.

        Args:
            arrived: When the oldest request arrived, by ``time.monotonic``.
            waiting: How many wait.
            idle: Whether nothing runs, so that sending at once costs nobody anything.
        """
        if idle and self._skipped < self._skip:
            self._skipped += 1
            return 0.0
        left = self.max_delay - (monotonic() - arrived)
        if left > 0:
            self._begun_with = waiting
        return left

    def over(self, arrived: float) -> bool:
        """Say whether a request that arrived then, by ``time.monotonic``, has waited long enough."""
        return monotonic() - arrived >= self.max_delay

    def learn(self, waiting: int) -> None:
        """Take note of how many wait at the end of a wait."""
        self._skipped = 0
        self._skip = 0 if waiting > self._begun_with else min(2 * self._skip + 1, _MOST_SKIPPED)
