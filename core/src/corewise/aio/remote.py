"""What runs in a worker, with its object. Imported by workers: it imports next to nothing."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import Any

import attrs

from corewise.executors.resident import has_async_methods

__all__ = ["Facts", "describe", "fetch", "kind_of", "run_batch"]


@attrs.frozen
class Facts:
    """What a worker says of its object.

    Attributes:
        kinds: ``"method"`` or ``"data"`` for every public name.
        dynamic: Whether the object may have attributes that it does not list.
        asynchronous: Whether it has async methods, several of which can run at once.
        values: The data attributes that were asked for, by name.
    """

    kinds: dict[str, str]
    dynamic: bool
    asynchronous: bool
    values: dict[str, Any]


def describe(obj: Any, attributes: tuple[str, ...]) -> Facts:
    """Say which attributes an object has, and the values of some of them.

    Raises:
        AttributeError: It has none of a name in `attributes`.
    """
    names = [name for name in dir(obj) if not name.startswith("_")]
    kinds = {name: kind for name in names if (kind := kind_of(obj, name)) is not None}
    values = {name: getattr(obj, name) for name in attributes}
    return Facts(kinds, hasattr(type(obj), "__getattr__"), has_async_methods(obj), values)


def kind_of(obj: Any, name: str) -> str | None:
    """Return ``"method"`` or ``"data"``, None where there is no such attribute; no property is computed."""
    missing = object()
    value = inspect.getattr_static(obj, name, missing)
    if value is missing:
        value = getattr(obj, name, missing) if hasattr(type(obj), "__getattr__") else missing
    if value is missing:
        return None
    if isinstance(value, staticmethod | classmethod):
        return "method"
    return "method" if callable(value) and not isinstance(value, type) else "data"


def fetch(obj: Any, name: str) -> tuple[str, Any]:
    """Return the kind and the value of an attribute; a method has no value here."""
    value = getattr(obj, name)
    return ("method", None) if callable(value) and not isinstance(value, type) else ("data", value)


def run_batch(obj: Any, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a batch method; iterators are run to their end here, for they cannot travel."""
    results = getattr(obj, method)(*args, **kwargs)
    if isinstance(results, AsyncIterator):
        return _listed(results)
    return _collected(results) if inspect.isawaitable(results) else _collect(results)


def _collect(results: Any) -> Any:
    return list(results) if isinstance(results, Iterator) else results


async def _collected(results: Awaitable[Any]) -> Any:
    return _collect(await results)


async def _listed(results: AsyncIterator[Any]) -> list[Any]:
    return [result async for result in results]
