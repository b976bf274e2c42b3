"""An object whose concurrent calls become batches."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, NoReturn, Self, Unpack

import attrs

from corewise.aio.function import BatchedFunction
from corewise.aio.options import BatchOptions, BatchOptionsDict
from corewise.aio.special import forwarding_class
from corewise.aio.stats import BatchStats
from corewise.errors import CorewiseWarning, warn

__all__ = ["Autobatched", "autobatch", "awaitable_method", "batch_methods", "nothing_to_batch", "warn_batched_already"]

PREFIX = "batch_"


def autobatch(
    obj: Any, methods: Iterable[str] | Mapping[str, str] | None = None, **options: Unpack[BatchOptionsDict]
) -> Any:
    """Return a wrapper of an object whose concurrent calls become batches.

    Where the object has ``complete(x)`` and ``batch_complete(xs)``, concurrent ``await wrapper.complete(x)`` calls
    become one call of ``batch_complete([...])``. Each method has its own queue and its own ``max_concurrency``, so a
    slow one holds up no other. Every other attribute is the object's, special methods and ``isinstance`` included;
    ``wrapper.__wrapped__`` is the object itself.

    Args:
        obj: Any object.
        methods: Names of the methods to batch, or a mapping of them to the names of their batch methods; None for
            every method ``m`` that has a sibling ``batch_m``.
        **options: As in ``BatchOptions``; they hold for each method.

    Returns:
        The wrapper. Beside the object's attributes it has ``aclose(drain=True)``, which also awaits the object's own
        ``aclose`` where there is one, and ``stats()``; it is an asynchronous context manager, and its ``spawn()``, if
        the object has one, gives a wrapped object. Each batched method has ``submit(x)`` for plain threads.

    Raises:
        ValueError: There is nothing to batch, or an option is out of its range.
        AttributeError: The object has no batch method for a name in `methods`.

    Example:
        >>> import asyncio, corewise
        >>> class Doubler:
        ...     def double(self, number):
        ...         return 2 * number
        ...     def batch_double(self, numbers):
        ...         return [2 * number for number in numbers]
        >>> async def main():
        ...     async with corewise.autobatch(Doubler()) as doubler:
        ...         return await asyncio.gather(*(doubler.double(number) for number in range(3)))
        >>> asyncio.run(main())
        [0, 2, 4]
    """
    if isinstance(obj, Autobatched) or getattr(type(obj), "_corewise_autobatch", None) is not None:
        warn_batched_already(obj)
        return obj
    later = getattr(type(obj), "_corewise_later", None)
    if methods is None and later is not None and later(obj):
        return _rebuild(obj, {}, BatchOptions(**options))
    names = (batch_methods(obj) if methods is None else _named(obj, methods)) or nothing_to_batch(obj)
    return _rebuild(obj, names, BatchOptions(**options))


def nothing_to_batch(obj: Any) -> NoReturn:
    """Raise ``ValueError``: no method of the object can be batched."""
    kind = type(obj).__qualname__
    raise ValueError(f"nothing to batch: {kind} has no method m with a sibling {PREFIX}m; name them in methods")


def batch_methods(obj: Any) -> dict[str, str]:
    """Return the methods of an object, or class, that have a sibling ``batch_…``, each with its sibling's name."""
    siblings = (name for name in dir(obj) if name.startswith(PREFIX))
    pairs = ((name.removeprefix(PREFIX), name) for name in siblings)
    return {single: many for single, many in pairs if _is_method(obj, single) and _is_method(obj, many)}


def warn_batched_already(obj: Any) -> None:
    """Warn that an object batches its calls already, so that nothing was wrapped and no option changed."""
    name = obj.__class__.__qualname__
    warn(f"{name} batches its calls already: it is used as it is, and options are not changed", CorewiseWarning)


def awaitable_method(
    function: BatchedFunction[Any, Any], original: Callable[..., Any] | None = None
) -> Callable[[Any], Any]:
    """Return a coroutine function that calls a batched function; it has its ``submit`` and ``stats``."""

    async def method(item: Any, /) -> Any:
        return await function(item)

    if original is not None:
        functools.update_wrapper(method, original)
    method.__dict__.update(submit=function.submit, stats=function.stats, function=function)
    return method


def _is_method(obj: Any, name: str) -> bool:
    return bool(name) and callable(getattr(obj, name, None))


def _named(obj: Any, methods: Iterable[str] | Mapping[str, str]) -> dict[str, str]:
    if isinstance(methods, str):
        raise TypeError(f"methods must be names in a list or mapping, got the string {methods!r}")
    names = dict(methods) if isinstance(methods, Mapping) else {name: PREFIX + name for name in methods}
    for single, many in names.items():
        if not _is_method(obj, many):
            raise AttributeError(f"{type(obj).__qualname__} has no method {many} to batch {single} with")
    return names


class Autobatched:
    """The wrapper that ``autobatch`` makes; each batched function guards itself, and no other part changes.

    Args:
        obj: The object.
        names: The methods to batch, each with the name of its batch method.
        options: How requests become batches.
    """

    __wrapped__: Any
    _corewise_names: dict[str, str]
    _corewise_options: BatchOptions
    _corewise_functions: dict[str, BatchedFunction[Any, Any]]
    _corewise_methods: dict[str, Callable[[Any], Any]]

    def __init__(self, obj: Any, names: Mapping[str, str], options: BatchOptions) -> None:
        own = self.__dict__
        own["__wrapped__"] = obj
        own["_corewise_options"] = options
        self._corewise_batch(names)

    def _corewise_batch(self, names: Mapping[str, str]) -> None:
        own, obj = self.__dict__, self.__dict__["__wrapped__"]
        keywords: Any = attrs.asdict(self._corewise_options, recurse=False)
        functions = {
            single: BatchedFunction(getattr(obj, many), name=f"{type(obj).__qualname__}.{many}", **keywords)
            for single, many in names.items()
        }
        own["_corewise_functions"] = functions
        own["_corewise_methods"] = {
            single: awaitable_method(function, getattr(obj, single, None)) for single, function in functions.items()
        }
        own.update(own["_corewise_methods"])
        own["_corewise_names"] = dict(names)

    @property  # type: ignore[misc] # so that isinstance() sees the object's class, as with every transparent proxy
    def __class__(self) -> type:
        wrapped = self.__dict__.get("__wrapped__")
        return type(self) if wrapped is None else type(wrapped)

    def __getattr__(self, name: str) -> Any:
        own = self.__dict__
        if "__wrapped__" not in own:
            raise AttributeError(name)
        value = getattr(own["__wrapped__"], name)
        return functools.partial(self._corewise_spawn, value) if name == "spawn" else value

    def __setattr__(self, name: str, value: Any) -> None:
        """Set it in the object, but for a batched method, which only the wrapper has."""
        own = self.__dict__
        if name in own["_corewise_methods"]:
            own[name] = value
        else:
            setattr(own["__wrapped__"], name, value)

    def __delattr__(self, name: str) -> None:
        """Delete it in the object; where a batched method was replaced, put that back."""
        own = self.__dict__
        methods = own["_corewise_methods"]
        if name in methods and own[name] is not methods[name]:
            own[name] = methods[name]
        else:
            delattr(own["__wrapped__"], name)

    def __dir__(self) -> list[str]:
        return sorted({*dir(self.__dict__["__wrapped__"]), *object.__dir__(self)})

    def __repr__(self) -> str:
        return f"autobatch({self.__dict__['__wrapped__']!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the object and the options: what waits stays here."""
        return _rebuild, (self.__wrapped__, self._corewise_names, self._corewise_options)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        """Do the same in every protocol."""
        return self.__reduce__()

    def _corewise_spawn(self, spawn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        spawned = spawn(*args, **kwargs)
        if inspect.isawaitable(spawned):
            return self._corewise_wrap_later(spawned)
        return _rebuild(spawned, self._corewise_names, self._corewise_options)

    async def _corewise_wrap_later(self, spawned: Any) -> Any:
        return _rebuild(await spawned, self._corewise_names, self._corewise_options)

    def stats(self) -> dict[str, BatchStats]:
        """Return the totals of each batched method, by its name."""
        return {name: function.stats() for name, function in self._corewise_functions.items()}

    async def aclose(self, *, drain: bool = True) -> None:
        """Close each batched method as ``BatchedFunction.aclose`` does, then the object, where it has ``aclose``."""
        await self._corewise_close(drain=drain)
        close = getattr(self.__wrapped__, "aclose", None)
        if close is not None and inspect.isawaitable(closing := close()):
            await closing

    async def _corewise_close(self, *, drain: bool) -> None:
        await asyncio.gather(*(function.aclose(drain=drain) for function in self._corewise_functions.values()))

    async def __aenter__(self) -> Self:
        if hasattr(type(self.__wrapped__), "__aenter__"):
            await self.__wrapped__.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Any:
        drain = kind is None or issubclass(kind, Exception)
        if not hasattr(type(self.__wrapped__), "__aexit__"):
            return await self.aclose(drain=drain)
        await self._corewise_close(drain=drain)
        return await self.__wrapped__.__aexit__(kind, error, traceback)


def _rebuild(obj: Any, names: Mapping[str, str], options: BatchOptions) -> Any:
    if isinstance(obj, Autobatched):
        return obj
    if not names:
        from corewise.aio.late import autobatch_later

        return autobatch_later(obj, options)
    return forwarding_class(Autobatched, type(obj))(obj, names, options)
