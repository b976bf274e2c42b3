"""Ctrl-C and SIGTERM that never cut a row in two."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

from corewise.cli.usage import ExitCode

__all__ = ["Interrupts", "Terminated"]


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived. Executors that run items in the calling thread let a KeyboardInterrupt through, and no other."""


class Interrupts:
    """Turns SIGINT into KeyboardInterrupt and SIGTERM into Terminated, and holds both back inside ``shield``.

    Signals are handled in the main thread, between two of its own steps, so its flags need no lock. In another thread
    than the main one it does nothing: signals do not arrive there.

    Example:
        >>> with Interrupts() as interrupts:
        ...     with interrupts.shield:
        ...         pass  # write a row and note that it is written
    """

    def __init__(self) -> None:
        self.shield: _Shield = _Shield()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        error = KeyboardInterrupt() if number == signal.SIGINT else Terminated(ExitCode.TERMINATED)
        if self.shield.up:
            self.shield.waiting = error
        else:
            raise error


class _Shield:
    """Holds an interrupt back until the block has ended."""

    __slots__ = ("up", "waiting")

    def __init__(self) -> None:
        self.up: bool = False
        self.waiting: BaseException | None = None

    def __enter__(self) -> None:
        self.up = True

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.up = False
        if self.waiting is not None:
            waiting, self.waiting = self.waiting, None
            raise waiting
