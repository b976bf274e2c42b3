"""How a callable reaches the workers: once per map, and from the object store once per worker."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from types import BuiltinFunctionType, FunctionType
from typing import Any

import ray

__all__ = ["LIVE_CALLABLES", "ShippedCallable", "ship"]

LIVE_CALLABLES = 4
"""How many callables of maps that are under way a worker keeps; more maps than that take turns."""


class ShippedCallable:
    """A callable on its way: a name that can be imported, or a place in the object store.

    Attributes:
        token: What workers know it by.
        data: Its pickle, where that is a name.
        reference: Where it lies in the object store, else.
    """

    __slots__ = ("data", "reference", "token")

    def __init__(self, token: bytes, data: bytes | None, reference: Any) -> None:
        self.token = token
        self.data = data
        self.reference = reference

    def __reduce__(self) -> tuple[Any, ...]:
        return ShippedCallable, (self.token, self.data, self.reference)

    def load(self, live: tuple[bytes, ...]) -> Callable[..., Any]:
        """Return the callable, in a worker.

        Args:
            live: Tokens of the maps that are under way; what the worker keeps for others is dropped, for it holds
                its place in the object store.
        """
        for token in [token for token in _kept if token not in live]:
            del _kept[token]
        fn: Callable[..., Any]
        if self.data is not None:
            fn = pickle.loads(self.data)
            return fn
        if self.token in _kept:
            return _kept[self.token]
        fn = ray.get(self.reference)
        _kept[self.token] = fn
        return fn


_kept: OrderedDict[bytes, Callable[..., Any]] = OrderedDict()
"""Needs no lock: chunks run one at a time in a process."""


def ship(fn: Callable[..., Any]) -> ShippedCallable:
    """Put a callable into the object store, unless its name says it all."""
    if isinstance(fn, FunctionType | BuiltinFunctionType | type):
        try:
            data = pickle.dumps(fn, 5)
        except Exception:  # noqa: BLE001 - it has no name that can be imported: Ray pickles it by value
            data = b"__main__"
        if b"__main__" not in data:
            return ShippedCallable(os.urandom(16), data, None)
    return ShippedCallable(os.urandom(16), None, ray.put(fn))
