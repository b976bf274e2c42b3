"""The future of an answer that is made of another future's answer."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

__all__ = ["LinkedFuture"]


class LinkedFuture(Future[Any]):
    """The future of what another future's answer is turned into; cancelling it cancels the other.

    ``_source`` goes when the answer is there: the other future's callback knows this one, and in a cycle both answers
    would wait for the garbage collector.
    """

    def __init__(self, source: Future[Any], turn: Callable[[Any], Any]) -> None:
        super().__init__()
        self._source: Future[Any] | None = source
        self._turn = turn
        source.add_done_callback(self._follow)

    def cancel(self) -> bool:
        """Cancel the call, unless it runs or has ended."""
        source = self._source
        return super().cancel() if source is None else source.cancel()

    def running(self) -> bool:
        """Whether the call runs."""
        source = self._source
        return source is not None and source.running()

    def _follow(self, source: Future[Any]) -> None:
        if source.cancelled():
            super().cancel()
            self.set_running_or_notify_cancel()
        else:
            self._take(source)
        self._source = None

    def _take(self, source: Future[Any]) -> None:
        self.set_running_or_notify_cancel()
        try:
            self.set_result(self._turn(source.result()))
        except BaseException as error:  # noqa: BLE001 - whatever came of the call is this future's outcome
            self.set_exception(error)
