"""An object whose calls are spread over workers that each have their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from corewise.aio.multiprocess_object import Multiprocess
from corewise.aio.recipe import Recipe
from corewise.aio.starting import Plan

__all__ = ["MakesMultiprocess", "multiprocess"]


class MakesMultiprocess:
    """What ``corewise.multiprocess`` is: called, it makes a wrapper; ``create`` makes one whose workers have started.

    Example:
        >>> import asyncio, collections, corewise
        >>> async def main():
        ...     async with corewise.multiprocess(collections.Counter, num_workers=1, spawn_args=("aab",)) as counter:
        ...         return await counter.most_common(1)
        >>> asyncio.run(main())
        [('a', 2)]
    """

    def __call__(
        self,
        obj_or_factory: Any,
        num_workers: int = 2,
        spawn_args: Iterable[Any] = (),
        spawn_kwargs: Mapping[str, Any] | None = None,
        executor: str | None = None,
        *,
        attributes: Iterable[str] = (),
    ) -> Any:
        """Return a wrapper whose calls are spread over workers that each own an instance of the object.

        Every public method, sync or async, can be awaited on the wrapper. Data attributes are fetched from a worker
        when they are first read, and kept. A method ``batch_…`` has the items of its first argument shared out over
        the workers, by the speed that was measured; each does its part with its own ``batch_…``. A worker that dies
        is replaced and its object made again; its call is tried again, and fails with ``WorkerDiedError`` if that
        ends another worker.

        The workers start with the first call, or with ``async with``, and nothing blocks the event loop meanwhile;
        but reading a data attribute blocks until a worker has answered, unless it is one of `attributes` and the
        workers have started. Where nothing is known of the class (a factory without a return annotation), a name
        that is used inside an event loop before the start is taken for a method.

        Args:
            obj_or_factory: An object with a method ``spawn(...)`` that makes another one, and that can be pickled; or
                a function or class that makes one, sync or async.
            num_workers: How many workers, at least 1.
            spawn_args: What ``spawn`` or the factory is called with.
            spawn_kwargs: The same, by keyword.
            executor: Name of the executor that workers are of, as ``"threads"``, ``"spawn"`` or ``"ray"``; None for
                the one of the settings where its workers are processes, else ``"spawn"``.
            attributes: Names of data attributes to fetch at the start.

        Returns:
            The wrapper. Beside the object's attributes it has ``aclose(drain=True)`` and is an asynchronous context
            manager; its ``spawn(...)`` gives another wrapper, with workers of its own.

        Raises:
            TypeError: The object has no ``spawn`` and is no factory, or `num_workers` is no integer.
            ValueError: `num_workers` is less than 1.
        """
        if isinstance(num_workers, bool) or not isinstance(num_workers, int):
            raise TypeError(f"multiprocess: num_workers: must be an integer, got {num_workers!r}")
        if num_workers < 1:
            raise ValueError(f"multiprocess: num_workers: must be at least 1, got {num_workers}")
        if isinstance(attributes, str):
            raise TypeError(f"multiprocess: attributes: must be names in a list, got the string {attributes!r}")
        recipe = Recipe.of(obj_or_factory, tuple(spawn_args), dict(spawn_kwargs or {}))
        return Multiprocess(Plan(recipe, num_workers, executor, tuple(attributes)))

    async def create(self, obj_or_factory: Any, *args: Any, **kwargs: Any) -> Any:
        """Make a wrapper and wait for its workers to have their objects, without blocking the event loop.

        When it is cancelled, by ``asyncio.timeout`` for one, the workers are ended and nothing is left.

        Args:
            obj_or_factory: As in ``multiprocess``.
            *args: As in ``multiprocess``.
            **kwargs: As in ``multiprocess``.

        Returns:
            The wrapper.

        Raises:
            Exception: What the factory raised, with the worker's traceback as its cause.
        """
        made = self(obj_or_factory, *args, **kwargs)
        try:
            await made.__aenter__()
        except BaseException:
            await made.aclose(drain=False)
            raise
        return made


multiprocess: MakesMultiprocess = MakesMultiprocess()
