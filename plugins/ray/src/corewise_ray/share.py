"""A shared object lies in the object store; its reference is what travels."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, TypeVar

import ray

from corewise import Shared

__all__ = ["RayShared"]

T = TypeVar("T")
KEPT_OBJECTS = 4
"""How many shared objects a worker keeps, the last used ones: each holds its place in the object store."""


class RayShared(Shared[T]):
    """A reference to an object in Ray's object store, for functions that run on Ray.

    Where it was shared, ``get`` returns the object itself. A worker reads it when it first asks, arrays in place. It
    never changes, so it needs no lock.
    """

    def __init__(self, obj: T) -> None:
        super().__init__(obj)
        self._reference = ray.put(obj)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Arrived, (self._token, self._reference)


class _Arrived(Shared[T]):
    """A reference in a worker."""

    def __init__(self, token: bytes, reference: Any) -> None:
        self._token = token
        self._reference = reference

    def get(self) -> T:
        """Return the object, from the store if this worker does not have it."""
        with _kept_lock:
            obj: T = _kept.pop(self._token) if self._token in _kept else ray.get(self._reference)
            _kept[self._token] = obj
            if len(_kept) > KEPT_OBJECTS:
                _kept.popitem(last=False)
            return obj

    def __reduce__(self) -> tuple[Any, ...]:
        return _Arrived, (self._token, self._reference)


_kept: OrderedDict[bytes, Any] = OrderedDict()
_kept_lock = threading.Lock()
"""Guards ``_kept``: a task may use threads."""
