"""A mixin that gives any class batched and parallel forms of itself."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any, Unpack

import attrs

from corewise.aio.function import BatchedFunction
from corewise.aio.instances import instance_parts
from corewise.aio.options import BatchOptions, BatchOptionsDict
from corewise.aio.wrapper import autobatch, awaitable_method, batch_methods

__all__ = ["ParallelOps"]


class ParallelOps:
    """Gives a class ``to_autobatched()`` and ``to_multiprocess()``; with ``autobatch=True`` its instances do the first.

    ``class Model(ParallelOps, autobatch=True)`` batches concurrent calls of every method ``m`` that has a sibling
    ``batch_m``; options instead of True, as ``autobatch={"max_batch_size": 64}``, are those of ``BatchOptions``.
    A subclass inherits this, unless it says ``autobatch=False``. What a batch method calls is not batched again, so it
    may be written with the single method, which is there as the class defines it: a plain method returns its value.

    Example:
        >>> import asyncio, corewise
        >>> class Doubler(corewise.ParallelOps, autobatch=True):
        ...     async def double(self, number):
        ...         return 2 * number
        ...     async def batch_double(self, numbers):
        ...         return [2 * number for number in numbers]
        >>> async def main():
        ...     doubler = Doubler()
        ...     return await asyncio.gather(*(doubler.double(number) for number in range(3)))
        >>> asyncio.run(main())
        [0, 2, 4]
    """

    _corewise_autobatch: BatchOptions | None = None

    def __init_subclass__(cls, *, autobatch: bool | BatchOptionsDict | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if autobatch is not None:
            keywords: BatchOptionsDict = autobatch if isinstance(autobatch, dict) else {}
            cls._corewise_autobatch = None if autobatch is False else BatchOptions(**keywords)
        if autobatch is False or cls._corewise_autobatch is not None:
            _batch_class(cls, cls._corewise_autobatch)

    def to_autobatched(self, **options: Unpack[BatchOptionsDict]) -> Any:
        """Return ``corewise.autobatch(self, **options)``."""
        return autobatch(self, **options)

    def to_multiprocess(self, num_workers: int = 2, spawn_args: Iterable[Any] | None = None, **options: Any) -> Any:
        """Return ``corewise.multiprocess(self, num_workers, spawn_args, **options)``; the class needs ``spawn()``."""
        from corewise.aio.multiprocess import multiprocess

        return multiprocess(self, num_workers, () if spawn_args is None else spawn_args, **options)


class _BatchedMethod:
    """Stands in a class for a method that is batched; gives each instance its own batcher."""

    def __init__(self, original: Callable[..., Any], many: str, options: BatchOptions) -> None:
        self.original = original
        self._many = many
        self._options = options
        functools.update_wrapper(self, original)

    def __get__(self, instance: object | None, owner: type | None = None) -> Any:
        if instance is None:
            return self
        parts = instance_parts(instance)
        function = parts.get(self._many, functools.partial(self._batcher, instance))
        # super() reaches another descriptor of the same name: it shares the batcher, and has its own original.
        return parts.get(f"{self._many} of {id(self)}", functools.partial(self._bind, instance, function))

    def __call__(self, instance: Any, item: Any) -> Any:
        """Do what the class's attribute does when it is called with an instance."""
        return self.__get__(instance)(item)

    def _batcher(self, instance: object) -> BatchedFunction[Any, Any]:
        keywords: Any = attrs.asdict(self._options, recurse=False)
        name = f"{type(instance).__qualname__}.{self._many}"
        return BatchedFunction(getattr(instance, self._many), name=name, **keywords)

    def _bind(self, instance: object, function: BatchedFunction[Any, Any]) -> Callable[[Any], Any]:
        batched = awaitable_method(function)
        method = _either(function, functools.partial(self.original, instance), batched)
        functools.update_wrapper(method, self.original)
        method.__dict__.update(batched.__dict__)
        return method


def _either(
    function: BatchedFunction[Any, Any], plain: Callable[[Any], Any], batched: Callable[[Any], Any]
) -> Callable[[Any], Any]:
    """Return what calls `plain` inside a batch of `function`, where a method is what its class says, else `batched`."""
    if inspect.iscoroutinefunction(plain):

        async def later(item: Any, /) -> Any:
            return await (plain(item) if function.is_running() else batched(item))

        return later

    def method(item: Any, /) -> Any:
        return plain(item) if function.is_running() else batched(item)

    return method


def _batch_class(cls: type, options: BatchOptions | None) -> None:
    """Put batched methods in the class, or the original ones back where there are no options."""
    for single, many in batch_methods(cls).items():
        current = inspect.getattr_static(cls, single)
        original = current.original if isinstance(current, _BatchedMethod) else current
        if options is not None and inspect.isfunction(original):
            setattr(cls, single, _BatchedMethod(original, many, options))
        elif original is not current:
            setattr(cls, single, original)
