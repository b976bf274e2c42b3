"""The limits that hold on one count at the same time, and giving back exactly what was found."""

from __future__ import annotations

from collections.abc import Container, Hashable
from typing import Any

import attrs

from corewise.backends.contract import Backend

__all__ = ["LimitStack"]

_STALE = object()


@attrs.define
class _Frame:
    token: object
    holder: Hashable
    threads: int
    found: Any


class LimitStack:
    """The limits on one count of a backend: of the process, or of one thread.

    Limits may end in any order. Of each holder (a thread; None is the whole process) the newest limit counts, and of
    several holders the one that asks for least; the process only where no thread asks. The limit that began last
    gives back exactly what it found; one that ends earlier leaves what it found to the one that began after it.

    Not safe for several threads by itself: the owner holds a lock.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._frames: list[_Frame] = []

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def holds_process(self) -> bool:
        """Whether a limit of the process is among them."""
        return any(frame.holder is None for frame in self._frames)

    @property
    def wanted(self) -> int | None:
        """The count that should hold now; None without a limit."""
        newest = {frame.holder: frame.threads for frame in self._frames}
        process = newest.pop(None, None)
        return min(newest.values(), default=process)

    def push(self, token: object, holder: Hashable, threads: int) -> None:
        """Begin a limit."""
        frame = _Frame(token, holder, threads, None)
        self._frames.append(frame)
        if self._backend.loaded():
            frame.found = self._backend.capture()
            self.apply()

    def pop(self, token: object) -> None:
        """End a limit; nothing where it did not begin."""
        if not self._holds(token):
            return
        found = self._take(token)
        if not self._backend.loaded():
            return
        if not self._frames or (found is not _STALE and found is not None):
            self._backend.restore(found)
        else:
            self.apply()

    def forget(self, token: object) -> None:
        """End a limit on a count that is out of reach: it stays as it is until the next change."""
        if self._holds(token):
            self._take(token)

    def keep(self, holders: Container[Hashable]) -> None:
        """End the limits of all other holders."""
        for frame in list(self._frames):
            if frame.holder not in holders:
                self.pop(frame.token)

    def renew(self) -> None:
        """Apply what holds to a library that was loaded meanwhile."""
        for frame in self._frames[1:]:
            frame.found = _STALE
        self.apply()

    def apply(self) -> None:
        """Limit the backend to what holds now."""
        wanted = self.wanted
        if wanted is not None and self._backend.loaded():
            self._backend.limit(wanted)

    def _holds(self, token: object) -> bool:
        return any(frame.token is token for frame in self._frames)

    def _take(self, token: object) -> Any:
        """Remove a frame; return what it found, or that this is of no use now because a later limit holds."""
        index = next(index for index, frame in enumerate(self._frames) if frame.token is token)
        found = self._frames.pop(index).found
        above = self._frames[index:]
        for later in above:
            later.found = _STALE
        if above:
            above[0].found = found
            return _STALE
        return found
