"""The wrapper that ``multiprocess`` makes: what its attributes are, and where they come from."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, NoReturn, Self

import attrs

from corewise.aio.remote import kind_of
from corewise.aio.starting import Home, Plan, Started
from corewise.executors.resident import ENDINGS
from corewise.spelling import did_you_mean

__all__ = ["Multiprocess"]

BATCH = "batch_"


class Multiprocess:
    """An object whose calls are spread over workers. Made by ``corewise.multiprocess``.

    Its ``__dict__`` holds the attributes that were used before; dictionaries need no lock, and two threads at worst
    make the same one twice. All else that changes is in ``Home``.

    Args:
        plan: What is to run where.
    """

    _corewise_home: Home

    def __init__(self, plan: Plan) -> None:
        self.__dict__["_corewise_home"] = Home(plan)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{self!r} has no attribute {name!r}")
        if name in ENDINGS:
            return self.aclose
        value, lasting = _attribute(self._corewise_home, name)
        if lasting:
            self.__dict__[name] = value
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{self!r}: {name} cannot be set: each worker has an object of its own; call a method")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{self!r}: {name} cannot be deleted: each worker has an object of its own")

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *_names(self._corewise_home)})

    def __repr__(self) -> str:
        plan = self._corewise_home.plan
        return f"multiprocess({plan.recipe.name}, num_workers={plan.num_workers})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the recipe: a copy elsewhere has workers of its own."""
        return Multiprocess, (self._corewise_home.plan,)

    def spawn(self, *args: Any, **kwargs: Any) -> Multiprocess:
        """Return another wrapper of the same recipe, with workers of its own.

        Args:
            *args: What the factory is called with, in place of ``spawn_args``.
            **kwargs: The same by keyword, in place of ``spawn_kwargs``.
        """
        plan = self._corewise_home.plan
        return Multiprocess(attrs.evolve(plan, recipe=plan.recipe.with_arguments(args, kwargs)))

    def _corewise_later(self, name: str = "") -> bool:
        """Say whether the calling event loop would have to wait for the names of the object, or for this one."""
        return _is_later(self._corewise_home, name)

    async def _corewise_ready(self) -> None:
        """Wait until it has them."""
        await self._corewise_home.ready()

    async def aclose(self, *, drain: bool = True) -> None:
        """Take no more calls, finish those that were made, close every object and end the workers.

        An object's own ``aclose``, ``close`` or ``cleanup`` is called in its worker. Closing again waits for the same
        end. Where calls wait for the workers to start, these do so first; a start that nobody calls for is ended. A
        factory that hangs is ended by closing with ``drain=False``, or by cancelling this, as ``asyncio.timeout`` does.

        Args:
            drain: Whether calls are finished; else they fail with ``ClosedError``, those that have not begun never
                begin, and the workers are ended at once. A thread cannot be ended: with ``executor="threads"`` what
                runs goes on, and nobody waits for it; async methods are cancelled where they wait.
        """
        await self._corewise_home.aclose(drain=drain)

    async def __aenter__(self) -> Self:
        try:
            await self._corewise_home.ready()
        except Exception:
            raise  # the start has failed and left nothing; the next one is a new one
        except BaseException:
            await self.aclose(drain=False)  # no block is entered that could be left
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose(drain=kind is None or issubclass(kind, Exception))


def _method(home: Home, name: str) -> Callable[..., Any]:
    """Return the coroutine function that calls a method in a worker."""

    async def method(*args: Any, **kwargs: Any) -> Any:
        if home.started is not None:
            return await _call(home, home.started, name, args, kwargs)
        with home.callers.one():
            reply = _call(home, await home.ready(), name, args, kwargs)
        return await reply

    method.__name__ = name
    method.__qualname__ = f"{home.plan.recipe.name}.{name}"
    return method


def _call(home: Home, started: Started, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Awaitable[Any]:
    """Send a call to a worker; return what its caller awaits."""
    facts = started.facts
    if facts.kinds.get(name) != "method" and not facts.dynamic:
        _refuse(home, name)
    send = started.spread.batch if name.startswith(BATCH) else started.spread.call
    return send(name, args, kwargs)


def _attribute(home: Home, name: str) -> tuple[Any, bool]:
    """Return an attribute, and whether it stays what it is.

    Raises:
        AttributeError: There is none.
    """
    kind = _kind(home, name)
    if kind == "later":
        return _method(home, name), False
    value: Any = None
    if kind == "data":
        values = (home.started or home.ready_now()).facts.values
        kind, value = ("data", values[name]) if name in values else home.fetch(name)
    return (value if kind == "data" else _method(home, name)), True


def _is_later(home: Home, name: str) -> bool:
    """Say whether it is known only after the start what this name is, and that must not be waited for here."""
    plan = home.plan
    return home.started is None and plan.recipe.model is None and name not in plan.attributes and _in_loop()


def _kind(home: Home, name: str) -> str:
    """Return ``"method"`` or ``"data"``, or ``"later"`` where that is not known and must not be waited for."""
    plan = home.plan
    model = plan.recipe.model
    if _is_later(home, name):
        return "later"
    if home.started is None and name not in plan.attributes:
        if model is not None and kind_of(model, name) == "method":
            return "method"
        if model is not None and not isinstance(model, type) and kind_of(model, name) is None:
            _refuse(home, name)
    facts = (home.started or home.ready_now()).facts
    return facts.kinds.get(name) or ("data" if facts.dynamic else _refuse(home, name))


def _refuse(home: Home, name: str) -> NoReturn:
    started = home.started
    if started is not None and started.facts.kinds.get(name) == "data":
        raise TypeError(f"multiprocess({home.plan.recipe.name}): {name} is data and no method: read it without a call")
    mend = did_you_mean(name, _names(home))
    raise AttributeError(f"{home.plan.recipe.name} has no attribute {name!r}{mend}")


def _names(home: Home) -> list[str]:
    """Return the public names of the object."""
    model = home.plan.recipe.model
    if home.started is None and model is not None:
        return [name for name in dir(model) if not name.startswith("_")]
    return [*(home.started or home.ready_now()).facts.kinds]


def _in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
