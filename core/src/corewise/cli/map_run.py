"""The run of ``corewise map``: items in, rows and failures out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any, Literal, Protocol, Self

import attrs

from corewise.cli.engine import EngineOptions, ItemFailure, outcomes
from corewise.cli.failures import error_name, one_line, record
from corewise.cli.feed import Feed
from corewise.cli.inputs import Input
from corewise.cli.interrupts import Interrupts
from corewise.cli.outputs.contract import Output
from corewise.executors.transfer import traceback_of

__all__ = ["ItemFailedError", "MapRun", "OnError", "Progress", "Silence"]

OnError = Literal["raise", "skip", "record"]


class ItemFailedError(Exception):
    """An item failed and ``--on-error raise`` was asked for; the text says which item and how."""


class Progress(Protocol):
    """Is told how a run gets on."""

    def advance(self, *, failed: bool) -> None:
        """One more item is there."""


class Silence:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def advance(self, *, failed: bool) -> None:
        """Take no notice."""


@attrs.define(kw_only=True)
class MapRun:
    """Everything that one run needs.

    Attributes:
        task: Gives the index and row of an item.
        source: The items.
        output: Where rows and failures go.
        options: How items are run.
        on_error: What becomes of a failed item: ``raise`` ends the run, ``skip`` counts it, ``record`` keeps a record.
        limit: How many items are looked at, None for all.
        progress: Is told of each item.
        say: Prints a line for people.
    """

    task: Callable[[Any], Any]
    source: Input
    output: Output
    options: EngineOptions
    on_error: OnError
    limit: int | None
    progress: Progress
    say: Callable[[str], None]

    def run(self, interrupts: Interrupts) -> None:
        """Run every item that is not done yet.

        Raises:
            InputError: The input is malformed; every item before that place is done.
            ItemFailedError: An item failed and none may.
        """
        # Closed here and now, not when the garbage collector finds them: nothing may run on behind an interrupt, and
        # no file stays open.
        with closing(self.source.items()) as items:
            feed = Feed(items, self.output.done, self.limit)
            with closing(outcomes(self.task, feed, self.options)) as results:
                for outcome in results:
                    with interrupts.shield:
                        self._take(feed, outcome)

    def _take(self, feed: Feed, outcome: ItemFailure | tuple[int, bytes]) -> None:
        failed = isinstance(outcome, ItemFailure)
        if isinstance(outcome, ItemFailure):
            index = feed.index_at(outcome.position)
            self._failure(index, feed.take(index), outcome.error)
        else:
            index, line = outcome
            feed.take(index)
            self.output.row(index, line)
        self.progress.advance(failed=failed)

    def _failure(self, index: int, item: Any, error: BaseException) -> None:
        if self.on_error == "raise":
            raise ItemFailedError(f"{traceback_of(error)}item {index} failed: {one_line(error)}") from error
        kept = self.on_error == "record"
        self.output.failure(index, error_name(error), record(index, item, error) if kept else None)
        if kept and self.output.errors_name is None:
            self.say(f"item {index} failed: {one_line(error)}")
