"""A call of an asyncio program that is spread over workers, and the way back to the loop that waits for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from corewise.aio.results import copy_error
from corewise.executors.chunks import ChunkOutcome
from corewise.executors.transfer import unpack_exception

__all__ = ["Call", "Lane", "deliver", "fail", "taken_apart"]

_Answer = tuple["asyncio.Future[Any]", Any, "BaseException | None"]


class Call:
    """A call that waits or is under way.

    Attributes:
        method: Its method.
        operation: What the worker is told.
        reply: What the caller awaits.
        lane: The lane of the caller's event loop.
        items: How many items it has where it is (a part of) a batch, else 0.
        alone: Whether it must not travel with others: their worker has died.
        quick: Whether it left as the first one of a message of a quick method.
    """

    __slots__ = ("alone", "items", "lane", "method", "operation", "quick", "reply")

    def __init__(self, lane: Lane, method: str, operation: tuple[Any, ...], items: int) -> None:
        self.lane: Lane = lane
        self.method: str = method
        self.operation: tuple[Any, ...] = operation
        self.items: int = items
        self.alone: bool = False
        self.quick: bool = False
        self.reply: asyncio.Future[Any] = lane.loop.create_future()


class Lane:
    """The way between one event loop and the workers; all of it belongs to the loop's thread, but ``deliver``.

    Attributes:
        loop: The event loop.
        leaving: The calls of this turn.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.leaving: list[Call] = []

    def deliver(self, answers: list[_Answer]) -> None:
        """Give callers what came; any thread may call. Where the loop has ended nobody waits."""
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(_settle, answers)


def _settle(answers: list[_Answer]) -> None:
    for reply, result, error in answers:
        if reply.done():
            continue
        if error is None:
            reply.set_result(result)
        elif isinstance(error, StopIteration):  # no future accepts it
            wrapped = RuntimeError("the method raised StopIteration")
            wrapped.__cause__ = error
            reply.set_exception(wrapped)
        else:
            reply.set_exception(error)


def deliver(calls: Sequence[Call], outcome: ChunkOutcome) -> None:
    """Give each call its result or error; any thread may call."""
    failures = outcome.failures or {}
    lanes: dict[Lane, list[_Answer]] = {}
    for position, (call, result) in enumerate(zip(calls, outcome.results, strict=True)):
        lanes.setdefault(call.lane, []).append((call.reply, result, failures.get(position)))
    for lane, answers in lanes.items():
        lane.deliver(answers)


def fail(calls: Sequence[Call], error: BaseException) -> None:
    """Give each call a copy of the error; any thread may call."""
    for call in calls:
        call.lane.deliver([(call.reply, None, copy_error(error))])


def taken_apart(outcome: ChunkOutcome, count: int) -> ChunkOutcome:
    """Return the outcome of calls that ran together as if each had been an item of the chunk."""
    if outcome.failures:
        error = outcome.failures[0]
        return ChunkOutcome([None] * count, {place: copy_error(error) for place in range(count)}, outcome.seconds)
    (answers,) = outcome.results
    failures = {place: unpack_exception(packed) for place, (_, packed) in enumerate(answers) if packed is not None}
    return ChunkOutcome([result for result, _ in answers], failures or None, outcome.seconds)
