"""What a batcher is told: sizes, delays, bounds and what to do on errors."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from typing import Any, Literal, TypedDict

import attrs

from corewise.aio.stats import BatchReport

__all__ = ["BatchOptions", "BatchOptionsDict"]


def _positive_or_none(_: BatchOptions, attribute: attrs.Attribute[Any], value: float | None) -> None:
    if value is not None and not value > 0:
        raise ValueError(f"{attribute.name} must be positive or None, got {value!r}")


def _count_or_none(_: BatchOptions, attribute: attrs.Attribute[Any], value: int | None) -> None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise ValueError(f"{attribute.name} must be an integer of at least 1 or None, got {value!r}")


def _count(_: BatchOptions, attribute: attrs.Attribute[Any], value: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{attribute.name} must be an integer of at least 1, got {value!r}")


def _seconds(_: BatchOptions, attribute: attrs.Attribute[Any], value: float) -> None:
    if not (value >= 0 and math.isfinite(value)):
        raise ValueError(f"{attribute.name} must be a finite number of seconds, 0 or more, got {value!r}")


def _one_of(*allowed: str) -> Callable[[BatchOptions, attrs.Attribute[Any], str], None]:
    def check(_: BatchOptions, attribute: attrs.Attribute[Any], value: str) -> None:
        if value not in allowed:
            names = " or ".join(map(repr, allowed))
            raise ValueError(f"{attribute.name} must be {names}, got {value!r}")

    return check


@attrs.frozen(kw_only=True)
class BatchOptions:
    """How requests become batches.

    Attributes:
        max_batch_size: Most items in one call of the batch function; None for no bound.
        max_delay: Seconds that the oldest request may wait for company while nothing runs; 0 waits for none.
        max_concurrency: Most batches of one function that run at once, over all event loops and threads.
        max_queue: Most requests that wait in one event loop; None for no bound.
        overflow: What becomes of a request that finds the queue full: it waits for room, or raises ``QueueFullError``.
        on_error: After a call that raised, ``"isolate"`` calls again with halves until the bad items are alone;
            ``"fail"`` never calls twice with one item and gives every caller of the batch its copy of the error.
        weight: Weight of an item, in any unit (tokens, bytes).
        max_weight: Most weight in one call; an item that is heavier travels alone. Needs ``weight``.
        key: Items may share a batch only where their keys are equal.
        on_batch: Called with a ``BatchReport`` after each batch, in the event loop that ran it.
    """

    max_batch_size: int | None = attrs.field(default=None, validator=_count_or_none)
    max_delay: float = attrs.field(default=0.0, validator=_seconds)
    max_concurrency: int = attrs.field(default=1, validator=_count)
    max_queue: int | None = attrs.field(default=None, validator=_count_or_none)
    overflow: Literal["wait", "raise"] = attrs.field(default="wait", validator=_one_of("wait", "raise"))
    on_error: Literal["isolate", "fail"] = attrs.field(default="isolate", validator=_one_of("isolate", "fail"))
    weight: Callable[[Any], float] | None = None
    max_weight: float | None = attrs.field(default=None, validator=_positive_or_none)
    key: Callable[[Any], Hashable] | None = None
    on_batch: Callable[[BatchReport], None] | None = None

    def __attrs_post_init__(self) -> None:
        """Check that the weight's function and bound come together."""
        if (self.weight is None) != (self.max_weight is None):
            raise ValueError("weight and max_weight need each other, got only one of them")


class BatchOptionsDict(TypedDict, total=False):
    """The same options as keyword arguments; ``BatchOptions`` says what each means and its default."""

    max_batch_size: int | None
    max_delay: float
    max_concurrency: int
    max_queue: int | None
    overflow: Literal["wait", "raise"]
    on_error: Literal["isolate", "fail"]
    weight: Callable[[Any], float] | None
    max_weight: float | None
    key: Callable[[Any], Hashable] | None
    on_batch: Callable[[BatchReport], None] | None
