"""A small reference to an object that many maps use."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from typing import Any, Generic, TypeVar

from corewise.executors.transfer import dumps_callable

__all__ = ["Shared"]

T = TypeVar("T")
KEPT_OBJECTS = 8
"""How many shared objects a process keeps that came to it by pickle."""


class Shared(Generic[T]):
    """A reference to an object, made by ``share``; pickles small or, where workers have no better way, once.

    In the process that made it, and on threads, ``get`` returns the object itself. Elsewhere it is unpickled once per
    process. A shared object may hold references to others. ``_lock`` guards ``_data``, the pickle, which is made when
    the reference first travels; it is reentrant, so that an object that holds its own reference gets pickle's error.

    Example:
        >>> import corewise
        >>> table = corewise.share({"a": 1})
        >>> list(corewise.map(lambda key: table.get()[key], ["a"]))
        [1]
    """

    def __init__(self, obj: T) -> None:
        self._obj = obj
        self._token = os.urandom(16)
        self._lock = threading.RLock()
        self._data: bytes | None = None

    def get(self) -> T:
        """Return the object."""
        return self._obj

    def __reduce__(self) -> tuple[Any, ...]:
        with self._lock:
            if self._data is None:
                self._data = dumps_callable(self._obj)
        return _arrive, (self._token, self._data)


_kept: OrderedDict[bytes, Shared[Any]] = OrderedDict()
_kept_lock = threading.RLock()
"""Guards ``_kept``. Reentrant: a shared object may hold references to others, which arrive while it is loaded."""


def _arrive(token: bytes, data: bytes) -> Shared[Any]:
    import pickle

    with _kept_lock:
        shared = _kept.pop(token, None)
        if shared is None:
            shared = Shared(pickle.loads(data))
            shared._token, shared._data = token, data  # noqa: SLF001 - the class's own way to be rebuilt
        _kept[token] = shared
        if len(_kept) > KEPT_OBJECTS:
            _kept.popitem(last=False)
        return shared
