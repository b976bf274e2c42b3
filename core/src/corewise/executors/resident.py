"""An object that lives in a worker, and how calls reach it. Imported by workers: asyncio comes in only when needed."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Awaitable, Callable
from sys import getrefcount
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from corewise.executors import transfer
from corewise.executors.deferred import Deferred, witness
from corewise.executors.frozen import ATOMS, freeze

if TYPE_CHECKING:
    from corewise.executors.resident_loop import Loop

__all__ = ["Recipe", "Resident", "has_async_methods"]

ENDINGS = ("aclose", "close", "cleanup")
"""The methods by which an object may want to end; the first that it has is called."""

Recipe = tuple["Callable[..., Any]", "tuple[Any, ...]", "dict[str, Any]"]
"""What makes an object, sync or async; its positional and its keyword arguments."""


class Resident:
    """The recipe of an object, which every worker that it is shipped to makes once.

    It travels as a callable: what it is called with is an operation (``start``, ``call``, ``apply``, ``together``,
    ``close``) and its arguments. The objects of a process are in ``_living``, found by token, because a worker may
    rebuild the recipe. ``_ended`` belongs to the worker, which runs one operation at a time.

    Args:
        recipe: What makes the object.
        max_concurrency: How many calls of async methods may run at once.
        defers: Whether calls of async methods may be answered later, so that several run at once.
    """

    def __init__(self, recipe: Recipe, max_concurrency: int, *, defers: bool) -> None:
        self._recipe = recipe
        self._max_concurrency = max_concurrency
        self._token = os.urandom(16)
        self._ended = False
        self.defers = defers

    def __call__(self, operation: tuple[Any, ...]) -> Any:
        """Run an operation in the worker."""
        kind, *arguments = operation
        if kind == "close":
            self._ended = True
            living = _living.pop(self._token, None)
            return None if living is None else living.close()
        if self._ended:
            from corewise.errors import ClosedError

            raise ClosedError("the actor pool is closed: its object is not made again")
        living = self._alive()
        if kind == "start":
            return None
        if kind == "together":
            return living.together(*arguments)
        return living.call(*arguments) if kind == "call" else living.apply(*arguments)

    def abandon(self) -> None:
        """Cancel what its object awaits and end its event loop, where they are in this process; wait for nothing."""
        living = _living.pop(self._token, None)
        if living is not None:
            living.abandon()

    def _alive(self) -> _Living:
        living = _living.get(self._token)
        if living is None:
            living = _living[self._token] = self._made()
        return living

    def _made(self) -> _Living:
        """Make the object; how long that takes is not to be laid to the call that needs it first."""
        by = witness()
        if by is None:
            return _Living.made(self._recipe, self._max_concurrency, defers=self.defers)
        by.stop_clock()
        try:
            return _Living.made(self._recipe, self._max_concurrency, defers=self.defers)
        finally:
            by.start_clock()


class _Living:
    """An object in its worker.

    An object with async methods lives in the thread of an event loop, and so does every call of it: its methods never
    run at the same time, except where one awaits. Any other object lives in the worker's own thread.
    """

    def __init__(self, obj: Any, loop: Loop | None, defers: bool) -> None:
        self._obj = obj
        self._loop = loop
        self._defers = defers

    @classmethod
    def made(cls, recipe: Recipe, most: int, *, defers: bool) -> _Living:
        """Make the object, in the worker's thread; one whose making or methods are async gets a loop."""
        factory, args, kwargs = recipe
        obj = factory(*args, **kwargs)
        if not inspect.isawaitable(obj) and not has_async_methods(obj):
            return cls(obj, None, defers=defers)
        loop = _new_loop(most)
        try:
            return cls(loop.run(_value, obj).result(), loop, defers=defers)
        except BaseException:
            loop.stop()
            raise

    def call(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self.apply(_call_method, (method, args, kwargs))

    def apply(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        if self._loop is None:
            result = function(self._obj, *args)
            return self._awaited(result) if inspect.isawaitable(result) else result
        if not self._defers:
            return self._loop.run(_apply, function, self._obj, args).result()
        # In a process of its own the result travels later: other calls, which may change it, go on until then.
        return Deferred(self._loop.run(_apply_frozen if self._loop.watched else _apply, function, self._obj, args))

    def together(self, operations: list[tuple[Any, ...]]) -> list[tuple[Any, bytes | None]]:
        """Run calls at once where the executor cannot answer them one by one: each with its result or packed error."""
        if self._loop is None:
            self._loop = _new_loop(1)
        outcomes: list[tuple[Any, bytes | None]] = self._loop.run(_together, self._obj, operations).result()
        return outcomes

    def _awaited(self, awaitable: Awaitable[Any]) -> Any:
        """Wait for what a plain method returned: the object turns out to need a loop."""
        self._loop = _new_loop(1)
        return self._loop.run(_value, awaitable).result()

    def close(self) -> Deferred | None:
        """Finish the calls that are under way, then run the method by which the object wants to end."""
        end: Callable[[], Any] = functools.partial(_call_ending, self._obj)
        if self._loop is None:
            result = end()
            if not inspect.isawaitable(result):
                return None
            self._loop, end = _new_loop(1), lambda: result
        answer = self._loop.run(self._loop.end, end)
        if self._defers and witness() is not None:
            # Waiting here, the worker would be seen to run this, and not the calls; the loop ends with its process.
            return Deferred(answer)
        try:
            answer.result()
        finally:
            self._loop.stop()
        return None

    def abandon(self) -> None:
        if self._loop is not None:
            self._loop.abandon()


_living: dict[bytes, _Living] = {}
"""The objects of this process. A token belongs to one worker, which runs one call at a time."""


def _new_loop(most: int) -> Loop:
    from corewise.executors.resident_loop import Loop

    return Loop(most)


async def _value(obj: Any) -> Any:
    return await obj if inspect.isawaitable(obj) else obj


def _call_method(obj: Any, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return getattr(obj, method)(*args, **kwargs)


def _call_ending(obj: Any) -> Any:
    for name in ENDINGS:
        ending = getattr(obj, name, None)
        if callable(ending):
            return ending()
    return None


async def _apply(function: Callable[..., Any], obj: Any, args: tuple[Any, ...]) -> Any:
    return await _value(function(obj, *args))


async def _apply_frozen(function: Callable[..., Any], obj: Any, args: tuple[Any, ...]) -> Any:
    result = await _value(function(obj, *args))
    return result if type(result) in ATOMS else freeze(getrefcount(result), result)


async def _together(obj: Any, operations: list[tuple[Any, ...]]) -> list[tuple[Any, bytes | None]]:
    import asyncio

    tasks = []
    for kind, *arguments in operations:
        function, rest = (_call_method, arguments) if kind == "call" else (arguments[0], arguments[1])
        tasks.append(asyncio.ensure_future(_outcome(function, obj, rest)))
    return [await task for task in tasks]


async def _outcome(function: Callable[..., Any], obj: Any, arguments: Any) -> tuple[Any, bytes | None]:
    try:
        result = function(obj, *arguments)
        if type(result) is CoroutineType or inspect.isawaitable(result):
            result = await result
        if type(result) not in ATOMS:
            transfer.dumps(result, 1)  # one that cannot travel must fail its call alone
    except BaseException as error:  # noqa: BLE001 - whatever it is belongs to this call
        return None, transfer.pack_exception(error)
    return result, None


def has_async_methods(obj: Any) -> bool:
    """Say whether an object lives in an event loop."""
    cls = type(obj)
    return any(
        inspect.iscoroutinefunction(inspect.getattr_static(cls, name, None)) for name in dir(cls) if name[:2] != "__"
    )
