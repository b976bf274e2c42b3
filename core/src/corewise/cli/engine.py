"""The way from the command line to the map engine: one function."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Any

import attrs

import corewise
from corewise.runtime import Configuration, configure_from

__all__ = ["EngineOptions", "ItemFailure", "configure", "outcomes"]

_WAITING = 512
"""Items that may be under way for each worker: a long input needs no more memory than a short one."""


@attrs.frozen(kw_only=True)
class EngineOptions:
    """How the items are run.

    Attributes:
        chunksize: Items that travel together, None to adapt.
        ordered: Whether outcomes come in the order of the items.
        retries: How often a failed item is run again.
        timeout: Seconds that one item may take, None for no limit.
    """

    chunksize: int | None = None
    ordered: bool = True
    retries: int = 0
    timeout: float | None = None


@attrs.frozen
class ItemFailure:
    """An item that failed.

    Attributes:
        position: Its place among the items that were given to the engine, from 0.
        error: What it raised.
    """

    position: int
    error: BaseException


def outcomes(
    task: Callable[[Any], Any], items: Iterable[Any], options: EngineOptions
) -> Generator[ItemFailure | tuple[int, bytes], None, None]:
    """Run ``task`` on every item and yield what each one gave.

    Args:
        task: Gives the index and the row of an item. It can be pickled.
        items: Taken as they are needed.
        options: How they are run.

    Raises:
        CorewiseError: The settings are wrong, or the executor is unknown or cannot run here.
    """
    executor = corewise.executor()
    whole = False
    try:
        results = executor.map(
            task,
            items,
            chunksize=options.chunksize,
            buffersize=executor.workers * max(_WAITING, 2 * (options.chunksize or 1)),
            ordered=options.ordered,
            on_error="return",
            retries=options.retries,
            item_timeout=options.timeout,
        )
        for result in results:
            yield ItemFailure(result.index, result.error) if isinstance(result, corewise.Failure) else result
        whole = True
    finally:
        # A run that is cut short does not wait for the items that are running.
        executor.shutdown(wait=whole, cancel_futures=not whole)


def configure(executor: str | None, jobs: int | None) -> None:
    """Make what the command line says the settings of this process, before anything else asks for them.

    Args:
        executor: Name of the executor, None where nothing was said.
        jobs: Workers, as ``num_batch_jobs`` has it, None where nothing was said.
    """
    said: dict[str, Any] = {"executor": executor, "num_batch_jobs": jobs}
    settings = {key: value for key, value in said.items() if value is not None}
    if settings:
        configure_from(Configuration(overrides=settings, caller="the command line"))
