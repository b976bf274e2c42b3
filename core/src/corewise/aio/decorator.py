"""The decorator that makes a batcher of a function or method."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import inspect
from collections.abc import Callable
from typing import Any, Self, TypeVar, Unpack, overload

from corewise.aio.function import BatchedFunction, BatchFunction
from corewise.aio.options import BatchOptionsDict

__all__ = ["batched"]

T = TypeVar("T")
R = TypeVar("R")


@overload
def batched(function: BatchFunction[T, R], /) -> BatchedFunction[T, R]: ...


@overload
def batched(function: classmethod[Any, Any, Any], /) -> BatchedFunction[Any, Any]: ...


@overload
def batched(
    **options: Unpack[BatchOptionsDict],
) -> Callable[[BatchFunction[T, R]], BatchedFunction[T, R]]: ...


def batched(function: Any = None, /, **options: Unpack[BatchOptionsDict]) -> Any:
    """Turn a function of a list of items into one that is called with one item.

    Args:
        function: As for ``BatchedFunction``, when the decorator is written without parentheses. A method is batched
            per instance; for one of the class or a static one write ``@batched`` above ``@classmethod`` or
            ``@staticmethod``.
        **options: As in ``BatchOptions``.

    Returns:
        A ``BatchedFunction``.

    Example:
        >>> import asyncio, corewise
        >>> @corewise.batched(max_batch_size=64)
        ... async def double(numbers: list[int]) -> list[int]:
        ...     return [2 * number for number in numbers]
        >>> async def main() -> list[int]:
        ...     return await asyncio.gather(*(double(number) for number in range(3)))
        >>> asyncio.run(main())
        [0, 2, 4]
    """
    if function is not None:
        return _decorated(function)
    return functools.partial(_decorated, **options)


def _decorated(function: Any, /, **options: Unpack[BatchOptionsDict]) -> BatchedFunction[Any, Any]:
    if isinstance(function, classmethod):
        bare: Any = function.__func__
        return _ClassMethod(bare, **options)
    if isinstance(function, staticmethod):
        return _StaticMethod(function.__func__, **options)
    return (_Method if _needs_instance(function) else BatchedFunction)(function, **options)


def _needs_instance(function: Callable[..., Any]) -> bool:
    """Say whether a function asks for more than the items."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a built-in that does not tell
        return False
    positional = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    return sum(one.kind in positional and one.default is one.empty for one in parameters) > 1


class _ClassMethod(BatchedFunction[Any, Any]):
    """A batched method of a class; each subclass has a batcher of its own."""

    def __get__(  # type: ignore[override] # the class gets a bound one, too
        self, instance: object | None, owner: type | None = None
    ) -> BatchedFunction[Any, Any]:
        return super().__get__(type(instance) if owner is None else owner)


class _StaticMethod(BatchedFunction[Any, Any]):
    """A batched function that is found in a class and knows nothing of it."""

    def __get__(self, instance: object | None, owner: type | None = None) -> Self:
        return self


class _Method(BatchedFunction[Any, Any]):
    """A batched method before it is bound, which is called as any function in a class: with an instance first.

    So does ``classmethod`` from Python 3.13 on, where it stands above the decorator.
    """

    def __call__(self, *args: Any) -> asyncio.Future[Any]:
        bound, item = self._bound(args)
        return bound(item)

    async def call(self, *args: Any) -> Any:
        bound, item = self._bound(args)
        return await bound(item)

    def submit(self, *args: Any) -> concurrent.futures.Future[Any]:
        bound, item = self._bound(args)
        return bound.submit(item)

    def _bound(self, args: tuple[Any, ...]) -> tuple[BatchedFunction[Any, Any], Any]:
        if len(args) != 2:
            got = f"{self.__qualname__} takes an instance and an item, got {len(args)} arguments"
            raise TypeError(f"{got}; for a method of the class write @corewise.batched above @classmethod")
        return self.__get__(args[0]), args[1]
