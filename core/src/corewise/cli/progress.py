"""The progress bar: done, failed, rate and time left."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

__all__ = ["Bar"]

_PAUSE = 0.1
"""Seconds between updates: an update costs more than a small item does."""


class Bar:
    """A bar on standard error.

    Args:
        total: About how many items there are, None if nobody knows.
        done: How many are done already.
        failed: How many of those failed.
    """

    def __init__(self, total: int | None, done: int = 0, failed: int = 0) -> None:
        self._done, self._failed = done, failed
        self._first = done
        self._progress = RichProgress(
            BarColumn(),
            TaskProgressColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[failed]:,} failed"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            redirect_stdout=False,
            redirect_stderr=True,
        )
        self._task = self._progress.add_task("map", total=total, completed=done, failed=failed, rate="")
        self._begin = self._shown = time.monotonic()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._show()
        self._progress.stop()

    def advance(self, *, failed: bool) -> None:
        """Count an item."""
        self._done += 1
        self._failed += failed
        if time.monotonic() - self._shown > _PAUSE:
            self._show()

    def _show(self) -> None:
        self._shown = time.monotonic()
        rate = (self._done - self._first) / max(self._shown - self._begin, 1e-9)
        self._progress.update(self._task, completed=self._done, failed=self._failed, rate=f"{rate:,.1f}/s")
