"""What makes an object in each worker, and what can be known of the object before any worker runs."""

from __future__ import annotations

import functools
import inspect
import pickle
import typing
from collections.abc import Callable
from typing import Any

import attrs

from corewise.executors.resident import Recipe as PlainRecipe
from corewise.executors.transfer import dumps

__all__ = ["LARGE", "Recipe"]

LARGE = 16 << 20
"""Bytes of a recipe from which on its size is worth a warning."""


@attrs.frozen(eq=False)
class Recipe:
    """What makes an object.

    Attributes:
        factory: Called in each worker.
        args: With these positional arguments.
        kwargs: And these keyword arguments.
        model: An object or a class with the attributes that the made ones will have; None where none is known.
    """

    factory: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    model: Any

    @classmethod
    def of(cls, obj: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Recipe:
        """Take the object's ``spawn`` where it has one, else the object itself as the factory.

        Raises:
            TypeError: It is neither.
        """
        if not isinstance(obj, type) and callable(spawn := getattr(obj, "spawn", None)):
            return cls(spawn, args, kwargs, obj)
        if callable(obj):
            return cls(obj, args, kwargs, _model(obj))
        raise TypeError(
            f"multiprocess: {type(obj).__qualname__} has no spawn() that makes another one, and is no factory: "
            "give it one, or pass a function or class that makes the object"
        )

    @property
    def name(self) -> str:
        """What messages call the object."""
        model = self.model if self.model is not None else self.factory
        named = model if hasattr(model, "__qualname__") else type(model)
        return str(named.__qualname__)

    def with_arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Recipe:
        """Return the recipe of an object that is made by other arguments, where there are any."""
        return attrs.evolve(self, args=args, kwargs=kwargs) if args or kwargs else self

    def plain(self) -> PlainRecipe:
        """Return it for workers that share memory with this process."""
        return self.factory, self.args, self.kwargs

    def pickled(self) -> tuple[PlainRecipe, int]:
        """Pickle it once for all workers; return what travels, and its size in bytes."""
        try:
            data, _ = dumps(self.plain())
        except Exception as error:
            error.add_note(f"multiprocess: what makes {self.name} in a worker cannot be pickled: {self.factory!r}")
            raise
        return (_Pickled(data), (), {}), len(data)

    def advice(self, size: int) -> str | None:
        """Return what to say of a recipe of this size; None where it is small."""
        if size <= LARGE:
            return None
        bound = inspect.ismethod(self.factory) or isinstance(self.factory, functools.partial)
        why = "a bound method travels with its whole object" if bound else "it travels with all that it holds"
        return (
            f"multiprocess: what makes {self.name} in each worker is {size / 2**20:.0f} MiB: {why}; pass a factory "
            "that loads it there instead, as multiprocess(load, spawn_args=(path,))"
        )


class _Pickled:
    """A factory that was pickled before, with its arguments: shipping it again copies bytes and runs nobody's code."""

    def __init__(self, data: Any) -> None:
        self._data = data

    def __call__(self) -> Any:
        factory, args, kwargs = pickle.loads(self._data)
        return factory(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Pickled, (pickle.PickleBuffer(self._data),)


def _model(factory: Any) -> Any:
    """Return the class of what a factory makes; None where it does not say."""
    if isinstance(factory, type):
        return factory
    if isinstance(factory, functools.partial):
        return _model(factory.func)
    bound_to = getattr(factory, "__self__", None)
    if inspect.ismethod(factory) and (isinstance(bound_to, type) or factory.__name__ == "spawn"):
        return bound_to
    try:
        made = typing.get_type_hints(factory).get("return")
    except Exception:  # noqa: BLE001 - annotations may name what is not there
        return None
    return made if isinstance(made, type) and made is not type(None) else None
