"""The limits that end with a thread, at the latest."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from corewise.backends.reach import TemporaryLimits

__all__ = ["LimitsOfThread"]


class LimitsOfThread:
    """Limits that end with a thread: the shares of a worker, where its executor does not say that it stops, and more.

    In a forked child they are forgotten with all that its parent's threads asked for: Python takes those threads down
    at a time when no library can be called.

    Attributes:
        tokens: What stands for each, the newest last.
        followed: What stands for each limit that another thread asked for and that holds in this one, too.
    """

    def __init__(self, end: Callable[[object], None], *tokens: object) -> None:
        self.tokens: list[object] = [*tokens]
        self.followed: dict[TemporaryLimits, object] = {}
        self._end = end
        self._process = os.getpid()

    def follow(self, limits: Sequence[TemporaryLimits], begin: Callable[[TemporaryLimits], object]) -> None:
        """Let these limits hold in the thread, and no others that were followed before.

        Args:
            limits: What other threads ask of it.
            begin: Begins one, and returns what stands for it.
        """
        for ended in [each for each in self.followed if each not in limits]:
            self._end(self.followed.pop(ended))
        for each in limits:
            if each not in self.followed:
                self.followed[each] = begin(each)

    def __del__(self) -> None:
        if os.getpid() == self._process:
            for token in (*reversed(self.followed.values()), *reversed(self.tokens)):
                self._end(token)
