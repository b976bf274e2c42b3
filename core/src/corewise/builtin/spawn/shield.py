"""Keeps signal handlers out of the few places where their exceptions would lose a message."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # what signal wraps in enums, at a tenth of the cost
import os
import threading
from types import FrameType, TracebackType
from typing import Any, Self

__all__ = ["Shield", "handles_signals", "in_main_thread"]

_getsignal = _signal.getsignal
# All that a program sends itself or is sent, and that is not always fatal. Asking for each costs 60 ns.
_USUAL = (
    _signal.SIGALRM,
    _signal.SIGTERM,
    _signal.SIGHUP,
    _signal.SIGUSR1,
    _signal.SIGUSR2,
    _signal.SIGCHLD,
    _signal.SIGVTALRM,
    _signal.SIGPROF,
    _signal.SIGQUIT,
    _signal.SIGIO,
    _signal.SIGWINCH,
)


def in_main_thread() -> bool:
    """Whether the calling thread is the one that signal handlers run in."""
    return threading.get_ident() == threading.main_thread().ident


def handles_signals() -> bool:
    """Whether the program has a handler, written in Python, of a usual signal other than SIGINT."""
    return any(map(callable, map(_getsignal, _USUAL)))


class Shield:
    """A context in which signal handlers are put off until its end, in the main thread; elsewhere it does nothing.

    The thread that waits for a result also reads the workers' answers. A KeyboardInterrupt between reading one and
    settling its future would lose it, and so would what any other handler raises. Each use makes an object of its own:
    nothing is shared.

    Attributes:
        others: Whether there are handlers of usual signals other than SIGINT.
    """

    __slots__ = ("_came", "_previous", "others")

    def __enter__(self) -> Self:
        self._came: list[tuple[int, FrameType | None]] = []
        self._previous: dict[int, Any] = {}
        self.others: bool = False
        if in_main_thread():
            self.others = handles_signals()
            # Known before anything is changed: a handler may still run between, and raise.
            previous: dict[int, Any] = {_signal.SIGINT: _getsignal(_signal.SIGINT)}
            if self.others:
                previous |= {number: handler for number in _USUAL if callable(handler := _getsignal(number))}
            self._put_off(previous)
        return self

    def _put_off(self, previous: dict[int, Any]) -> None:
        try:
            for number in previous:
                _signal.signal(number, self._note)
        except ValueError:  # a main thread of an interpreter that is not the main one
            return
        except BaseException:
            self._restore([*previous.items()])
            raise
        self._previous = previous

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._came.append((number, frame))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._previous:
            try:
                self._restore([*self._previous.items()])
            finally:
                if self._came:
                    self._make_up()

    def _restore(self, left: list[tuple[int, Any]]) -> None:
        """Restore every handler, whatever those raise that run meanwhile."""
        number, handler = left.pop()
        try:
            # None is a handler that was not set from Python, and cannot be.
            _signal.signal(number, _signal.SIG_DFL if handler is None else handler)
        finally:
            if left:
                self._restore(left)

    def _make_up(self) -> None:
        """Handle what has come, in order, whatever the handlers raise."""
        number, frame = self._came.pop(0)
        handler = self._previous[number]
        try:
            if callable(handler):
                # Not by sending it again: a wake-up descriptor (``signal.set_wakeup_fd``) has been told already.
                handler(number, frame)
            else:
                os.kill(os.getpid(), number)
        finally:
            if self._came:
                self._make_up()
