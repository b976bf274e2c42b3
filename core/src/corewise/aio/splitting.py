"""How the items of one batch are shared out, and its results put together again."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import accumulate, chain
from typing import Any

from corewise.aio.results import check

__all__ = ["Speeds", "joined", "listed", "splittable"]

SMALLEST = 0.0005
"""Seconds of work that are worth a message of their own."""
SMOOTHING = 0.3


class Speeds:
    """How many items per second each worker does, by method; whoever uses it guards it.

    Args:
        workers: How many there are.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._speeds: dict[str, list[float | None]] = {}

    def measured(self, method: str, worker: int, items: int, seconds: float) -> None:
        """Learn from one part of a batch."""
        speeds = self._speeds.setdefault(method, [None] * self._workers)
        speed, before = items / max(seconds, 1e-9), speeds[worker]
        speeds[worker] = speed if before is None else before + SMOOTHING * (speed - before)

    def shares(self, method: str, items: int) -> list[int]:
        """Return how many items each worker gets, by its speed; all goes to one where there is too little to share.

        Args:
            method: The batch method.
            items: How many there are, at least 1.
        """
        known = [speed for speed in self._speeds.get(method, ()) if speed is not None]
        usual = sum(known) / len(known) if known else 1.0
        speeds = [speed or usual for speed in self._speeds.get(method, [None] * self._workers)]
        if known and items / usual < 2 * SMALLEST:
            return [items]
        bounds = [round(items * done / sum(speeds)) for done in accumulate(speeds)]
        return [stop - start for start, stop in zip([0, *bounds], bounds, strict=False)]


def splittable(items: Any) -> bool:
    """Say whether these are items in an order, of which there is more than one."""
    if isinstance(items, str | bytes | bytearray | Mapping | AbstractSet) or not hasattr(items, "__getitem__"):
        return False
    try:
        return len(items) > 1
    except TypeError:  # an array of no dimension
        return False


def listed(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Make a list of the items where they are an iterator, which cannot travel."""
    if args and isinstance(args[0], Iterator):
        return (list(args[0]), *args[1:])
    return args


def joined(parts: Sequence[Any], sizes: Sequence[int], name: str) -> Any:
    """Put the results of the parts together: arrays to an array, with their masks; tuples to a tuple; else a list.

    Raises:
        BatchResultError: A part has not one result per item.
    """
    for part, size in zip(parts, sizes, strict=True):
        check(part, size, name)
    kinds = {type(part) for part in parts}
    if len(kinds) == 1:
        kind = kinds.pop()
        if (masked := sys.modules.get("numpy.ma")) is not None and issubclass(kind, masked.MaskedArray):
            return masked.concatenate(parts)  # numpy's own loses the masks
        if (numpy := sys.modules.get("numpy")) is not None and issubclass(kind, numpy.ndarray):
            return numpy.concatenate(parts)
        if (torch := sys.modules.get("torch")) is not None and issubclass(kind, torch.Tensor):
            return torch.cat(list(parts))
        if kind is tuple:
            return tuple(chain.from_iterable(parts))
    return list(chain.from_iterable(parts))
