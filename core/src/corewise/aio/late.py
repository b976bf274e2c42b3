"""An autobatched object of which nothing is known before it has started, and that must not be waited for meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from corewise.aio.options import BatchOptions
from corewise.aio.special import forwarding_class
from corewise.aio.wrapper import Autobatched, batch_methods, nothing_to_batch
from corewise.executors.resident import ENDINGS

__all__ = ["LateAutobatched", "autobatch_later"]

_AT_ONCE = frozenset({"spawn", *ENDINGS})


class _Late(Protocol):
    """What the object offers."""

    def _corewise_later(self, name: str = "") -> bool:
        """Say whether the calling event loop would have to wait for the names of the object, or for this one."""

    async def _corewise_ready(self) -> None:
        """Wait until it has them."""


def autobatch_later(obj: Any, options: BatchOptions) -> Any:
    """Return a wrapper of an object whose first call finds out which methods are batched."""
    return forwarding_class(LateAutobatched, type(obj))(obj, {}, options)


class LateAutobatched(Autobatched):
    """The wrapper of such an object; once its methods are known it is like any other one.

    ``_corewise_lock`` lets one thread at a time make the batched functions; ``_corewise_calls`` counts the calls that
    wait for them in each event loop, and is changed by its thread alone.
    """

    __wrapped__: _Late
    _corewise_lock: threading.Lock
    _corewise_calls: dict[asyncio.AbstractEventLoop, int]

    def __init__(self, obj: Any, names: dict[str, str], options: BatchOptions) -> None:
        super().__init__(obj, names, options)
        self.__dict__.update(_corewise_lock=threading.Lock(), _corewise_calls={})

    def __getattr__(self, name: str) -> Any:
        own = self.__dict__
        if name.startswith("_") or name in _AT_ONCE or own["_corewise_names"]:
            return super().__getattr__(name)
        if _is_later(own["__wrapped__"], name):
            return self._corewise_method(name)
        if _is_later(own["__wrapped__"]):
            return super().__getattr__(name)
        self._corewise_know()
        return getattr(self, name)

    def _corewise_know(self) -> None:
        """Batch the methods that have a sibling, now that they are known.

        Raises:
            ValueError: There is none.
        """
        with self._corewise_lock:
            if not self._corewise_names:
                self._corewise_batch(batch_methods(self.__wrapped__) or nothing_to_batch(self.__wrapped__))

    def _corewise_method(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def method(*args: Any, **kwargs: Any) -> Any:
            loop, calls = asyncio.get_running_loop(), self._corewise_calls
            calls[loop] = calls.get(loop, 0) + 1
            try:
                await _ready(self.__wrapped__)
            finally:
                calls[loop] -= 1
                if not calls[loop]:
                    del calls[loop]
            self._corewise_know()
            return await getattr(self, name)(*args, **kwargs)

        method.__name__ = name
        return method

    async def _corewise_close(self, *, drain: bool) -> None:
        if drain and self._corewise_calls.get(asyncio.get_running_loop()):
            # Those who wait for the same start were here before, so their calls are made before this goes on.
            await asyncio.gather(_ready(self.__wrapped__), return_exceptions=True)
        await super()._corewise_close(drain=drain)


def _is_later(obj: _Late, name: str = "") -> bool:
    return obj._corewise_later(name)  # noqa: SLF001 - a public name would hide one of the object's


async def _ready(obj: _Late) -> None:
    await obj._corewise_ready()  # noqa: SLF001 - as above
